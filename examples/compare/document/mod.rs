//! Generates docs/strategies.md: the text of the template, with tables and plots of simulations.
//!
//! The text is in `template.md`. Expressions in double braces are replaced:
//!
//! | expression | replaced by |
//! | --- | --- |
//! | `table SCENARIO` | the figures of every strategy at every load |
//! | `across FIGURE SCENARIO …` | one figure of every strategy, in several scenarios |
//! | `plot SCENARIO KIND [LOAD]` | a plot: `tail`, `latency`, `in-flight` or `shares` |
//! | `value SCENARIO STRATEGY FIGURE [LOAD]` | a single figure, or the `share` of the server with the fault |
//! | `about SCENARIO` | the description of the scenario |
//! | `hunt PART` | a part of the results of the hunt: `counts`, `table`, `returns` or `losses` |

mod tables;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, bail};
use equipoise::sim::Contender;
use kuva::render::render::Scene;

use crate::{
    figures::{self, Figure},
    hunt, plots,
    scenarios::{ALL, Known},
    sweep::{Point, Sweep, Watch},
};

const TEMPLATE: &str = include_str!("template.md");
const SEEDS: u64 = 5;
const HUNT_SEEDS: u64 = 3;

type Sweeps = BTreeMap<&'static str, Sweep>;

/// Plots by file name, written once the text is complete.
type Pictures = BTreeMap<String, Scene>;

/// Runs the scenarios of the template, and writes `strategies.md` and `strategies/` into the directory.
pub(crate) fn write(into: &Path) -> anyhow::Result<()> {
    let scenarios = wanted()?;
    let cases = hunt::selected(&[])?;
    let points: usize = scenarios.iter().map(|scenario| scenario.loads.len()).sum();
    let watch = Watch::over(points + cases.len())?;
    let sweeps: anyhow::Result<Sweeps> =
        scenarios.into_iter().map(|scenario| Ok((scenario.name, run(scenario, &watch)?))).collect();
    let hunted = hunt::run(&cases, &[], HUNT_SEEDS, &watch);
    watch.end();
    let (sweeps, mut hunted) = (sweeps?, hunted?);
    if watch.control.is_stopped() {
        bail!("interrupted; the document is unchanged");
    }
    hunt::sort(&mut hunted);
    let mut pictures = Pictures::new();
    let text = filled(|words| match words {
        ["hunt", part] => hunt::markdown(&hunted, part).context("no such part"),
        _ => replace(words, &sweeps, &mut pictures),
    })?;
    let folder = into.join("strategies");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (file, scene) in &pictures {
        plots::write_svg(scene, &folder.join(file))?;
    }
    let path = into.join("strategies.md");
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn run(scenario: &'static Known, watch: &Watch) -> anyhow::Result<Sweep> {
    let strategies = scenario.strategies()?;
    let contenders: Vec<&dyn Contender> = strategies.iter().map(|strategy| strategy as &dyn Contender).collect();
    let sweep = Sweep::run(scenario, &contenders, scenario.loads, SEEDS, watch);
    sweep.with_context(|| scenario.name)
}

/// Returns the scenarios that the template mentions.
fn wanted() -> anyhow::Result<Vec<&'static Known>> {
    let mut named = BTreeSet::new();
    filled(|words| {
        named.extend(words.iter().map(|word| (*word).to_owned()));
        Ok(String::new())
    })?;
    Ok(ALL.iter().filter(|scenario| named.contains(scenario.name)).collect())
}

/// Returns the template with its expressions replaced.
fn filled(mut replace: impl FnMut(&[&str]) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let mut parts = TEMPLATE.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (braced, rest) = part.split_once("}}").context("template.md: unclosed braces")?;
        let words: Vec<&str> = braced.split_whitespace().collect();
        text += &replace(&words).with_context(|| format!("template.md: {{{{{braced}}}}}"))?;
        text += rest;
    }
    Ok(text)
}

fn replace(words: &[&str], sweeps: &Sweeps, pictures: &mut Pictures) -> anyhow::Result<String> {
    let sweep = |name: &str| sweeps.get(name).context("no such scenario");
    match words {
        ["table", scenario] => Ok(tables::of(sweep(scenario)?)),
        ["across", figure, scenarios @ ..] => {
            let sweeps: Vec<&Sweep> = scenarios.iter().map(|name| sweep(name)).collect::<Result<_, _>>()?;
            tables::across(self::figure(figure)?, &sweeps).context("scenarios of several loads, or none at all")
        }
        ["plot", scenario, kind, load @ ..] => picture(sweep(scenario)?, kind, load.first().copied(), pictures),
        ["value", scenario, strategy, figure, load @ ..] => {
            let sweep = sweep(scenario)?;
            let strategy = sweep.number(strategy).context("the strategy is not in this scenario")?;
            let comparison = &point(sweep, load.first().copied())?.comparison;
            if *figure == "share" {
                let server = sweep.scenario.watched.context("no server has a fault in this scenario")?;
                return Ok(figures::part(figures::share(comparison, strategy, server)));
            }
            Ok(self::figure(figure)?.show(comparison, strategy))
        }
        ["about", scenario] => Ok(sweep(scenario)?.scenario.about.to_owned()),
        _ => bail!("unknown expression"),
    }
}

fn figure(name: &str) -> anyhow::Result<Figure> {
    Figure::named(name).with_context(|| format!("unknown figure {name}"))
}

/// Returns the point at this load; without a load, the only point.
fn point<'a>(sweep: &'a Sweep, load: Option<&str>) -> anyhow::Result<&'a Point> {
    match load {
        Some(load) => sweep.at(load.parse()?).context("no such load"),
        None if sweep.points.len() > 1 => bail!("there are several loads: name one"),
        None => sweep.points.first().context("nothing was run"),
    }
}

fn picture(sweep: &Sweep, kind: &str, load: Option<&str>, pictures: &mut Pictures) -> anyhow::Result<String> {
    let scene: Scene = match kind {
        "tail" => plots::tail(sweep),
        "latency" => plots::latency(sweep, point(sweep, load)?),
        "in-flight" => plots::in_flight(sweep, point(sweep, load)?),
        "shares" => plots::shares(sweep, point(sweep, load)?),
        _ => bail!("unknown plot {kind}"),
    };
    let file = format!("{}-{kind}.svg", sweep.scenario.name);
    let shown = format!("![{}: {kind}](strategies/{file})", sweep.scenario.name);
    pictures.insert(file, scene);
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/strategies.md");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    const AGAIN: &str = "docs/strategies.md is outdated, run: cargo run --release --example compare -- --write docs";

    #[test]
    fn the_document_has_the_text_of_the_template() {
        let document = document();
        let mut rest = &document[..];
        for part in TEMPLATE.split("{{").map(|part| part.split_once("}}").map_or(part, |(_, text)| text)) {
            let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{AGAIN}\nIt lacks: {part}"));
            rest = after;
        }
        assert_eq!(rest, "", "{AGAIN}");
    }

    /// Runs on one platform only: on others, logarithms may differ in the last bit, and figures with them.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_document_has_current_figures() {
        let watch = Watch::over(1).expect("a bar");
        let sweep = run(Known::named("slow-one").expect("a scenario"), &watch).expect("runs");
        let table = tables::of(&sweep);
        assert!(document().contains(&table), "{AGAIN}\nIt lacks:\n{table}");
    }

    #[test]
    fn the_template_mentions_every_scenario() {
        let wanted = wanted().expect("braces that close");
        let missing = ALL.iter().map(|known| known.name).filter(|name| wanted.iter().all(|known| known.name != *name));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
