//! What one client does must not change what others get from the cache.

use equipoise_gateway::{Identity, Mechanism, cache::KeyPolicy};

use crate::script::{self, Stage};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

#[tokio::test]
async fn identities_without_a_name_do_not_share_responses() {
    let stage = Stage::with(|cache| cache.key(KeyPolicy::new().per_identity()));
    for body in ["first", "second"] {
        stage.backend.answers(200, FRESH, body);
        let mut request = script::request("GET", "/", &[]);
        request.extensions_mut().insert(Identity::new("", Mechanism::External));
        let response = stage.send(request).await.expect("a response");
        assert_eq!(script::read(response).await.expect("a body").body, body);
    }
}
