//! The losses of the default that are known, each with its reason. `--check` fails if a loss is larger than its limit here,
//! and the list is a part of docs/strategies.md.

use crate::figures::Figure;

/// A known loss of the default.
pub(in crate::hunt) struct Accepted {
    /// The full name of the case.
    pub(in crate::hunt) case: &'static str,
    pub(in crate::hunt) figure: Figure,
    /// The limit of the loss: relative to the best strategy for latencies, and a share of the requests for errors.
    pub(in crate::hunt) most: f64,
    /// Why the loss exists, in Markdown.
    pub(in crate::hunt) reason: &'static str,
}

const fn loss(case: &'static str, figure: Figure, most: f64, reason: &'static str) -> Accepted {
    Accepted { case, figure, most, reason }
}

pub(in crate::hunt) const ACCEPTED: &[Accepted] = &[
    loss(
        "faults/stall-20-clients",
        Figure::P999,
        20.0,
        "Each of the 20 clients has about one request at the server when it stalls. This looks the same as one long \
         request, so the clients go on to send trials there. If the first response after a silence replaced the \
         estimate, p99.9 would be about 500 ms, but p99 would be 18 % higher in `work/bimodal-ps` and 12 % higher in \
         `faults/pauses`.",
    ),
    loss(
        "slow/tenfold-busy",
        Figure::P999,
        0.25,
        "The load is all that the four fast servers can serve, so a part has to go to the slow one. With the default, \
         p99 is the lowest of all strategies, and the few requests at the slow server wait longer.",
    ),
    loss(
        "faults/stall-0.85",
        Figure::P99,
        0.2,
        "During a stall, the other four servers cannot serve the load, so the queues grow at every server that still \
         works. Strategies that leave more requests at the stalled server have shorter queues elsewhere: their p99 is \
         lower, and their p99.9 is more than six times as high.",
    ),
    loss("outages/churn", Figure::P999, 0.18, "The cause was not isolated."),
    loss(
        "alike/bursts",
        Figure::P999,
        0.1,
        "The cause was not isolated. All servers are full when the bursts of several clients overlap.",
    ),
    loss(
        "alike/clients-5",
        Figure::P999,
        0.05,
        "A pick of the default compares 10 of the 20 servers, and one of `least-connections` all of them.",
    ),
    loss(
        "distances/zones-0.7-20",
        Figure::Mean,
        0.55,
        "The default makes latencies equal: each client sends requests to the distant servers as soon as requests wait \
         about as long at the near ones. `least-connections` keeps the numbers of requests equal, and so uses the near \
         servers more.",
    ),
    loss(
        "limits/sheds-busy",
        Figure::Errors,
        0.0007,
        "Servers that reject what they cannot serve do so for moments. Penalties then move load to servers that are \
         nearly full themselves. `least-connections` does not see rejections.",
    ),
    loss(
        "limits/one-small-sheds",
        Figure::Errors,
        0.0006,
        "The maximum penalty is 500 ms, and that of `peak-ewma` 5 s. It has faded sooner, and then the small server gets \
         requests again: more of them are rejected, but latencies are lower.",
    ),
    loss(
        "failures/given-up-stall",
        Figure::Errors,
        0.0007,
        "Each request that a client sends to the stalled server, to try it, is given up.",
    ),
    loss("failures/20%-at-one", Figure::Errors, 0.0004, FLAKY),
    loss("failures/20%-at-one-fast", Figure::Errors, 0.0004, FLAKY),
];

const FLAKY: &str = "The maximum penalty is 500 ms, and that of `peak-ewma` 5 s. It has faded sooner, and then the server \
                     gets requests again: more of them fail, but the other servers are less busy, and latencies are \
                     lower.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::hunt::selected;

    #[test]
    fn every_accepted_loss_is_one_figure_of_a_case() {
        for loss in ACCEPTED {
            let cases = selected(&[loss.case.to_owned()]).expect("a case");
            assert_eq!(cases.iter().map(|case| case.full_name()).collect::<Vec<_>>(), [loss.case]);
        }
        let names: BTreeSet<_> = ACCEPTED.iter().map(|loss| (loss.case, loss.figure.name())).collect();
        assert_eq!(names.len(), ACCEPTED.len());
    }

    #[test]
    fn at_most_five_cases_may_lose_more_than_5_percent_in_p99_or_p999() {
        let in_tail = |loss: &&Accepted| matches!(loss.figure, Figure::P99 | Figure::P999) && loss.most > 0.05;
        let cases: BTreeSet<_> = ACCEPTED.iter().filter(in_tail).map(|loss| loss.case).collect();
        assert!(cases.len() <= 5, "{cases:?}");
    }
}
