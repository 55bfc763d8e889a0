//! The parser for an agent's line. Parsing takes time linear in the length of the line.

use super::{AgentAdmin, AgentHealth, AgentReply, AgentWarning, IncompleteLine, number};

/// The maximum length in bytes of a text about an agent's reply in HAProxy.
const MAX_TEXT: usize = 127;

impl AgentReply {
    /// Parses the line that an agent has sent. The line ends at the first CR or LF; the bytes after it are ignored.
    /// Takes O(n) time for n bytes.
    ///
    /// # Errors
    ///
    /// Returns [`IncompleteLine`] if `line` has no CR or LF, or if a NUL character comes before the first CR or LF.
    pub fn parse(line: &[u8]) -> Result<Self, IncompleteLine> {
        let end = line.iter().position(|byte| matches!(read(*byte), b'\r' | b'\n' | 0)).ok_or(IncompleteLine)?;
        if line[end] == 0 {
            return Err(IncompleteLine);
        }
        let (words, description) = split(&line[..end]);
        Ok(Words::sort(words).into_reply(description))
    }
}

/// Returns the words of a line, and the description: the text after the first `#` at the start of a word.
fn split(line: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let separates = |byte: &u8| matches!(read(*byte), b' ' | b'\t' | b',');
    let starts = |at: usize| at == 0 || separates(&line[at - 1]);
    let sharp = (0..line.len()).find(|&at| read(line[at]) == b'#' && starts(at)).unwrap_or(line.len());
    let description = line.get(sharp + 1..).unwrap_or_default();
    let blanks = description.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (line[..sharp].split(separates).filter(|word| !word.is_empty()), &description[blanks..])
}

/// The last word of each kind in a line, and the first unknown word.
#[derive(Default)]
struct Words<'a> {
    health: Option<(AgentHealth, &'a [u8])>,
    admin: Option<AgentAdmin>,
    weight: Option<&'a [u8]>,
    max_in_flight: Option<&'a [u8]>,
    unknown: Option<&'a [u8]>,
}

impl<'a> Words<'a> {
    fn sort(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut sorted = Words::default();
        for word in words {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("up") {
                sorted.health = Some((AgentHealth::Up, word));
            } else if is("down") || is("stopped") || is("fail") {
                sorted.health = Some((AgentHealth::Down, word));
            } else if is("ready") {
                sorted.admin = Some(AgentAdmin::Ready);
            } else if is("drain") {
                sorted.admin = Some(AgentAdmin::Drain);
            } else if is("maint") {
                sorted.admin = Some(AgentAdmin::Maintenance);
            } else if word[0].is_ascii_digit() && word.iter().any(|byte| read(*byte) == b'%') {
                sorted.weight = Some(word);
            } else if let Some(limit) = after(word, "maxconn:") {
                sorted.max_in_flight = Some(limit);
            } else {
                sorted.unknown.get_or_insert(word);
            }
        }
        sorted
    }

    fn into_reply(self, description: &[u8]) -> AgentReply {
        let mut warning = None;
        let weight_percent = self.weight.map(weight).and_then(|weight| valid(weight, &mut warning));
        let max_in_flight = self.max_in_flight.map(limit).and_then(|limit| valid(limit, &mut warning));
        let text = self.text(description, warning);
        AgentReply {
            weight_percent,
            max_in_flight,
            admin: self.admin,
            health: self.health.map(|(health, _)| health),
            unknown_word: self.unknown.map(readable),
            warning,
            text,
        }
    }

    /// Returns the summary of the line. If the line has both a description and an error, the summary contains the
    /// description if the endpoint is down, and the error if it is up.
    fn text(&self, description: &[u8], warning: Option<AgentWarning>) -> String {
        let warning = warning.map(|warning| warning.to_string());
        let warning = warning.as_deref().map(str::as_bytes);
        let odd = self.unknown.or(warning);
        let text = match (self.health, self.unknown, warning) {
            (Some((health, word)), ..) => {
                let own = !description.is_empty() && (health == AgentHealth::Down || odd.is_none());
                match if own { Some(description) } else { odd } {
                    Some(why) => [b"via agent : ", word, b" (", why, b")"].concat(),
                    None => [b"via agent : ", word].concat(),
                }
            }
            (None, Some(word), _) => [b"agent reports an error : ", word].concat(),
            (None, None, Some(warning)) => [b"agent warns : ", warning].concat(),
            (None, None, None) => Vec::new(),
        };
        readable(&text)
    }
}

fn after<'a>(word: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (start, rest) = word.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
}

/// Returns the value if it is valid. Otherwise stores the error in `warning`, unless there is an earlier error.
fn valid<T>(parsed: Result<T, AgentWarning>, warning: &mut Option<AgentWarning>) -> Option<T> {
    parsed.map_err(|wrong| warning.get_or_insert(wrong).to_owned()).ok()
}

/// Parses a weight word, which must begin with a digit.
fn weight(text: &[u8]) -> Result<u32, AgentWarning> {
    match number::leading(text) {
        // 25 600 is 100 times the maximum weight of 256. Larger values have the same effect.
        Some((percent, b"%")) => Ok(percent.clamp(0, 25_600) as u32),
        Some((257.., _)) => Err(AgentWarning::WeightOutOfRange),
        _ => Err(AgentWarning::WeightTrailing),
    }
}

fn limit(text: &[u8]) -> Result<Option<u32>, AgentWarning> {
    if text.is_empty() {
        return Err(AgentWarning::LimitMissing);
    }
    match number::leading(text).ok_or(AgentWarning::LimitNotANumber)? {
        // HAProxy uses the low 32 bits of the number.
        (limit, b"") => Ok(Some(limit as u32).filter(|&limit| limit > 0)),
        _ => Err(AgentWarning::LimitTrailing),
    }
}

/// Converts bytes to text for logs. Uses at most the first [`MAX_TEXT`] bytes and replaces control characters.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    text.replace(|character: char| character.is_control() && character != '\t', "\u{fffd}")
}

/// Reads a byte. Unit tests count the calls, to verify that parsing takes linear time.
fn read(byte: u8) -> u8 {
    #[cfg(test)]
    tests::count();
    byte
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static BYTES_READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        BYTES_READ.set(BYTES_READ.get() + 1);
    }

    #[test]
    fn twice_the_line_is_twice_the_work() {
        let work = |line: &str| {
            let before = BYTES_READ.get();
            let _ = AgentReply::parse(line.as_bytes());
            BYTES_READ.get() - before
        };
        for part in [" ", ",", "#", " #", "1", "1%", "1 ", "50% ", "up,", "maxconn:", "maxconn:1 ", "x"] {
            let of = |length: usize| work(&format!("{}\n", part.repeat(length / part.len())));
            let (once, twice) = (of(10_000), of(20_000));
            assert!((1..=50_000).contains(&once), "{part}: {once}");
            assert!(twice <= 2 * once + 100, "{part}: {once}, {twice}");
        }
    }

    fn parsed(line: &str) -> AgentReply {
        AgentReply::parse(line.as_bytes()).expect(line)
    }

    #[test]
    fn a_line_without_its_end_says_nothing() {
        for line in [&b""[..], b"up", b"up 50%", b"up\0\n", b"\0"] {
            assert_eq!(AgentReply::parse(line), Err(IncompleteLine), "{line:?}");
        }
        assert!(AgentReply::parse(b"up\n\0").is_ok());
    }

    #[test]
    fn a_sharp_within_a_word_is_part_of_it() {
        assert_eq!(parsed("up#down\n").unknown_word.as_deref(), Some("up#down"));
        assert_eq!(parsed("down,#\t why, really # so \n").text, "via agent : down (why, really # so )");
    }

    #[test]
    fn the_last_word_of_a_kind_wins_even_if_it_is_wrong() {
        let reply = parsed("50% 1.5%\n");
        assert_eq!((reply.weight_percent, reply.warning), (None, Some(AgentWarning::WeightTrailing)));
    }

    #[test]
    fn a_weight_is_a_percentage() {
        assert_eq!(parsed("99999999999999999999%\n").weight_percent, Some(25_600));
        assert_eq!(parsed("50\n").unknown_word.as_deref(), Some("50"));
        assert_eq!(parsed("weight:50%\n").unknown_word.as_deref(), Some("weight:50%"), "a word of later versions");
    }

    #[test]
    fn limits_keep_the_low_32_bits() {
        assert_eq!(parsed("maxconn:-1\n").max_in_flight, Some(Some(u32::MAX)));
        assert_eq!(parsed("maxconn:4294967296\n").max_in_flight, Some(None));
        assert_eq!(parsed("maxconn:4294967297\n").max_in_flight, Some(Some(1)));
        assert_eq!(parsed("maxconn:99999999999999999999\n").max_in_flight, Some(Some(u32::MAX)));
        assert_eq!(parsed("maxconn:\n").warning, Some(AgentWarning::LimitMissing));
        assert_eq!(parsed("maxconn:3x\n").warning, Some(AgentWarning::LimitTrailing));
        assert_eq!(parsed("maxconn:x\n").warning, Some(AgentWarning::LimitNotANumber));
    }

    #[test]
    fn a_reason_for_being_down_is_not_hidden_by_what_is_wrong() {
        assert_eq!(parsed("down odd # full\n").text, "via agent : down (full)");
        assert_eq!(parsed("up odd # full\n").text, "via agent : up (odd)");
        assert_eq!(parsed("up 1.5% # full\n").text, "via agent : up (Trailing garbage in weight string)");
    }

    #[test]
    fn what_an_agent_sends_cannot_upset_a_terminal() {
        assert_eq!(parsed("down # \x1b[2J\n").text, "via agent : down (\u{fffd}[2J)");
        assert_eq!(AgentReply::parse(b"\xff\n").map(|reply| reply.unknown_word), Ok(Some("\u{fffd}".to_owned())));
    }
}
