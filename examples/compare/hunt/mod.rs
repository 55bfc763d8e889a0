//! The hunt: many small scenarios in which the default strategy is compared with the best of the others.
//!
//! `cases/` contains the scenarios, `verdict` decides what counts as a loss, and `print` shows the results.

mod case;
mod cases;
mod outage;
mod outcome;
mod print;
mod verdict;

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};
use equipoise::{
    InvalidStrategy, Strategy, StrategySpec,
    sim::{Comparison, Contender},
    strategy::by_name,
};

use self::{
    case::Case,
    cases::FAMILIES,
    outcome::{Figures, Outcome},
    verdict::loss,
};
use crate::{contenders::Entrant, sweep::Watch};

/// The strategy of a pool that sets none.
const DEFAULT: &str = "log-ewma";

/// Lists all cases.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    let mut cases = FAMILIES.iter().flat_map(|family| family.iter());
    cases.try_for_each(|case| writeln!(out, "{}\n    {}", case.full_name(), case.about))
}

/// Returns the cases that one of the names selects: a family, or a family and a case (`work/pareto-fifo`). Without
/// names, returns all cases.
pub(crate) fn selected(names: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    let all = || FAMILIES.iter().flat_map(|family| family.iter());
    let mut cases = Vec::new();
    for name in names {
        let found: Vec<_> = all().filter(|case| case.is_called(name)).collect();
        if found.is_empty() {
            let names: Vec<String> = all().map(Case::full_name).collect();
            bail!("no scenario of the hunt is called {name:?}; use a family or one of {}", names.join(", "));
        }
        cases.extend(found);
    }
    Ok(if names.is_empty() { all().collect() } else { cases })
}

/// Returns the strategies that decide by what the client itself has seen: neither by keys nor by limits. The default is
/// the first.
fn with_local_signals() -> Result<Vec<StrategySpec>, InvalidStrategy> {
    let alone = by_name::all().iter().filter(|known| !known.wraps() && known.name() != "first-fit");
    let strategies = alone.map(|known| known.name().parse()).collect::<Result<Vec<StrategySpec>, _>>()?;
    let mut strategies: Vec<_> =
        strategies.into_iter().filter(|strategy| !strategy.build().needs().places_by_key()).collect();
    strategies.sort_by_key(|strategy| strategy.name() != DEFAULT);
    Ok(strategies)
}

/// Runs the cases with all strategies that have local signals, and the given ones, for this number of seeds. Returns the
/// results so far if the watch was stopped.
pub(crate) fn run(
    cases: &[&'static Case],
    further: &[Entrant],
    seeds: u64,
    watch: &Watch,
) -> anyhow::Result<Vec<Outcome>> {
    let strategies = with_local_signals()?;
    let usual = strategies.iter().map(|strategy| strategy as &dyn Contender);
    let contenders: Vec<&dyn Contender> =
        usual.chain(further.iter().map(|entrant| &**entrant as &dyn Contender)).collect();
    let labels: Vec<String> = contenders.iter().map(|contender| contender.label()).collect();
    let mut outcomes = Vec::new();
    for case in cases {
        let name = case.full_name();
        let compare = || Comparison::run(&case.scenario(), &contenders, seeds, &watch.control);
        let comparison = watch.during(&name, compare).with_context(|| name.clone())?;
        if watch.control.is_stopped() {
            break;
        }
        let figures = (0..contenders.len()).map(|at| Figures::of(case, &comparison, at)).collect();
        outcomes.push(Outcome { case, labels: labels.clone(), figures });
    }
    Ok(outcomes)
}

/// Runs the selected cases and prints them, the worst losses of the default first. Writes the figures of all strategies
/// into a CSV file if there is a path.
///
/// # Errors
///
/// With `check`, also if the default has a loss that is larger than accepted.
pub(crate) fn hunt(
    names: &[String],
    further: &[Entrant],
    seeds: u64,
    csv: Option<&Path>,
    check: bool,
) -> anyhow::Result<()> {
    let cases = selected(names)?;
    let watch = Watch::over(cases.len())?;
    let outcomes = run(&cases, further, seeds, &watch);
    watch.end();
    let mut outcomes = outcomes?;
    if let Some(path) = csv {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        print::csv(&outcomes, &mut io::BufWriter::new(file))?;
    }
    sort(&mut outcomes);
    print::terminal(&outcomes, cases.len() == 1, seeds, &mut io::stdout().lock())?;
    let new = if check { verdict::new_losses(&outcomes) } else { Vec::new() };
    if !new.is_empty() {
        bail!("the default has new or larger losses:\n{}", new.join("\n"));
    }
    Ok(())
}

/// Returns a part of the results as Markdown: `counts`, `table`, `returns` or `losses`. `None` if there is no such part.
pub(crate) fn markdown(outcomes: &[Outcome], part: &str) -> Option<String> {
    match part {
        "counts" => Some(verdict::counts(outcomes)),
        "table" => Some(print::table(outcomes)),
        "returns" => Some(print::returns(outcomes)),
        "losses" => Some(print::losses(outcomes)),
        _ => None,
    }
}

/// Sorts the results, the worst losses of the default first.
pub(crate) fn sort(outcomes: &mut [Outcome]) {
    outcomes.sort_by(|one, other| loss(other).total_cmp(&loss(one)));
}
