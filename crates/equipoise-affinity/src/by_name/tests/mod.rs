mod accepted;
mod built;
mod listed;
mod refused;
mod texts;

use equipoise_core::{EndpointSpec, Maglev, Pool};

use super::{AffinitySpec, BuildContext, InvalidAffinity, Settings};
use crate::{
    Mode,
    token::{KeyRing, TokenKey},
};

fn spec(text: &str) -> AffinitySpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> InvalidAffinity {
    match text.parse::<AffinitySpec>() {
        Ok(spec) => panic!("{text} is {spec}"),
        Err(error) => error,
    }
}

/// Builds the mode from text, without a pool.
fn mode(text: &str) -> Mode {
    let spec = spec(text);
    spec.definition().make().mode(&Settings::of(&spec.0), &context()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn definition(name: &str) -> &'static super::ModeDefinition {
    super::all().iter().find(|definition| definition.name() == name).expect(name)
}

fn keys() -> KeyRing {
    KeyRing::new(TokenKey::new(1, [7; 32]).expect("long enough"))
}

/// A context with everything that a mode may need.
fn context() -> BuildContext {
    let store = crate::table::SessionTable::builder().capacity(16).build().expect("a table");
    BuildContext::new().keys(keys()).dynamic_key(b"pepper").store(std::sync::Arc::new(store))
}

fn pool() -> Pool<()> {
    let pool = Pool::new(Maglev::new());
    pool.update(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(EndpointSpec::new), |_| ()).expect("fit endpoints");
    pool
}

/// Returns the text of a mode with only its required parameters.
fn smallest(name: &str) -> String {
    match name {
        "none" | "source" | "path" | "host" => name.to_owned(),
        "learn" | "route" | "first-of" | "all-of" => format!("{name}(cookie=JSESSIONID)"),
        _ => format!("{name}(name=SRV)"),
    }
}
