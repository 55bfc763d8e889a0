//! The figures of `Balance` as a service.

mod calls;
mod tasks;

use equipoise_benches::timing::Effort;

use crate::table::Tally;

pub(crate) fn measure(effort: Effort, tally: &mut Tally) {
    calls::measure(effort, tally);
    tasks::measure(effort, tally);
}
