use equipoise_affinity::__private::Script;
use redis::{Cmd, Value};

/// Decides on all limits of a request. It takes units from all limits or from none; limits in a dry run are
/// independent.
///
/// A key holds the time at which its bucket is full, in microseconds since November 2023, so that a double has room for
/// fractions of 1/64. It is a string that expires at this time. Anything else under a key counts as a full bucket, and
/// so does a time in the past. A time that is further in the future than the burst allows (the server's clock was set
/// back) counts as an empty bucket.
///
/// Arguments, for each key: nanoseconds per unit, burst, units, and 1 in a dry run. With 0 units, nothing is taken.
/// The reply has two integers for each key: 1 if the limit admits the request, and the nanoseconds until the bucket was
/// full before the request.
const TEXT: &str = r"
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1700000000) * 1000000 + tonumber(time[2])
local before, after, admitted, pass, reply = {}, {}, {}, true, {}
for i = 1, #KEYS do
  local unit, burst = tonumber(ARGV[4 * i - 3]) / 1000, tonumber(ARGV[4 * i - 2])
  local units, dry = tonumber(ARGV[4 * i - 1]), ARGV[4 * i] == '1'
  local most = now + burst * unit
  local stored = redis.pcall('GET', KEYS[i])
  local full = type(stored) == 'string' and tonumber(stored) or now
  if not (full > now) then full = now end
  if full > most then full = most end
  before[i], after[i] = full, full + units * unit
  admitted[i] = after[i] <= most + 0.25
  if not admitted[i] and not dry then pass = false end
  reply[2 * i - 1] = admitted[i] and 1 or 0
  reply[2 * i] = math.ceil((full - now) * 1000)
end
for i = 1, #KEYS do
  if admitted[i] and after[i] > before[i] and (pass or ARGV[4 * i] == '1') then
    redis.call('SET', KEYS[i], string.format('%.17g', after[i]), 'PX', math.ceil((after[i] - now) / 1000))
  end
end
return reply
";

/// Precision of times in the script, in nanoseconds, with a margin.
const PRECISION: u64 = 250;

/// What the script is asked about one limit.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) key: Vec<u8>,
    pub(super) interval: u64,
    pub(super) burst: u32,
    pub(super) units: u32,
    pub(super) dry_run: bool,
}

/// What the script says about one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) admitted: bool,
    /// Nanoseconds until the bucket was full before the request.
    pub(super) full_in: u64,
}

/// The script.
pub(super) struct LimitScript(Script);

impl LimitScript {
    pub(super) fn new() -> Self {
        Self(Script::new(TEXT))
    }

    /// Returns the command that runs the script. With `text`, the command contains its text instead of its SHA-1.
    pub(super) fn call(&self, questions: &[Question], text: bool) -> Cmd {
        let keys: Vec<_> = questions.iter().map(|question| question.key.as_slice()).collect();
        let mut call = self.0.call(&keys, text);
        for Question { interval, burst, units, dry_run, .. } in questions {
            call.arg(interval).arg(burst).arg(units).arg(u8::from(*dry_run));
        }
        call
    }
}

/// Reads the reply of the script. `None` if it is not one for so many limits.
pub(super) fn answers(reply: &Value, count: usize) -> Option<Vec<Answer>> {
    let Value::Array(numbers) = reply else { return None };
    if numbers.len() != count * 2 {
        return None;
    }
    let answer = |pair: &[Value]| match pair {
        [Value::Int(admitted @ (0 | 1)), Value::Int(full_in)] => {
            let full_in = u64::try_from(*full_in).ok()?.saturating_sub(PRECISION);
            Some(Answer { admitted: *admitted == 1, full_in })
        }
        _ => None,
    };
    numbers.chunks(2).map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_another_form_are_refused() {
        let (one, zero, time) = (Value::Int(1), Value::Int(0), Value::Int(5_000));
        let two = [Answer { admitted: true, full_in: 4_750 }, Answer { admitted: false, full_in: 0 }];
        let reply = Value::Array(vec![one.clone(), time.clone(), zero.clone(), zero.clone()]);
        assert_eq!(answers(&reply, 2).as_deref(), Some(&two[..]));
        for (reply, count) in [
            (reply, 1),
            (Value::Nil, 0),
            (Value::Array(vec![one.clone()]), 1),
            (Value::Array(vec![one.clone(), Value::Int(-1)]), 1),
            (Value::Array(vec![Value::Int(2), time.clone()]), 1),
            (Value::Array(vec![one, Value::Nil]), 1),
        ] {
            assert_eq!(answers(&reply, count), None, "{reply:?}");
        }
    }
}
