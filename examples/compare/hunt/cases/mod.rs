//! The scenarios of the hunt, a file for each family. An entry is a name, a description and a scenario. `accepted` lists
//! the known losses.

mod accepted;
mod alike;
mod antagonists;
mod distances;
mod failures;
mod faults;
mod limits;
mod outages;
mod slow;
mod streams;
mod work;

pub(super) use self::accepted::{ACCEPTED, Accepted};

use super::case::Case;

pub(super) const FAMILIES: &[&[Case]] = &[
    alike::CASES,
    slow::CASES,
    antagonists::CASES,
    work::CASES,
    streams::CASES,
    failures::CASES,
    faults::CASES,
    outages::CASES,
    limits::CASES,
    distances::CASES,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_can_be_run_and_has_a_name_of_its_own() {
        let cases: Vec<&Case> = FAMILIES.iter().flat_map(|family| family.iter()).collect();
        for case in &cases {
            assert_eq!(case.scenario().check(), Ok(()), "{}", case.full_name());
        }
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 60, "{}", cases.len());
    }
}
