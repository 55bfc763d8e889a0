//! The commands and scripts of a session store in Redis. Each operation is one command or script, so that it is atomic
//! and takes one round trip.

use redis::{Cmd, Value, cmd};

use crate::link::{Script, explain};

/// Looks up a binding if sessions have a lifetime. Removes a session whose lifetime is over. For any other session,
/// starts the idle timeout again; the entry expires no later than the lifetime ends. If the birth is further in the
/// future than clocks may differ, the current time replaces it, because the session would last too long otherwise.
const TOUCH: &str = r"
local current = redis.pcall('GET', KEYS[1])
if type(current) ~= 'string' then return current end
local born, rest = string.match(current, '^1 (%d+) (.+)$')
if not born or #born > 15 then return current end
local now = tonumber(ARGV[3])
if tonumber(born) * 1000 > now + tonumber(ARGV[4]) then
  born = string.format('%.0f', math.floor(now / 1000))
  current = '1 ' .. born .. ' ' .. rest
  redis.call('SET', KEYS[1], current, 'KEEPTTL')
end
local left = math.min(tonumber(ARGV[1]), tonumber(born) * 1000 + tonumber(ARGV[2]) - now)
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
return current
";

/// Binds a session, unless another balancer has bound it. A session that moves keeps its birth. A value with another
/// version stays, and any other value that is not a binding is replaced. If the birth is further in the future than
/// clocks may differ, the current time replaces it.
const BIND: &str = r"
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then return current end
local idle, life, now, skew = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local function believed(born)
  if tonumber(born) * 1000 <= now + skew then return born end
  return string.format('%.0f', math.floor(now / 1000))
end
local function left(born)
  if life == 0 then return idle end
  return math.min(idle, tonumber(born) * 1000 + life - now)
end
local birth = believed(ARGV[3])
if current then
  local version = string.match(current, '^(%d+) ')
  if version and version ~= '1' then return current end
  local born, id = string.match(current, '^1 (%d+) (.+)$')
  local valid = id and #born <= 15 and #id <= 255 and not string.find(id, '%c')
  if valid then
    local known = believed(born)
    if known ~= born then
      current = '1 ' .. known .. ' ' .. id
      redis.call('SET', KEYS[1], current, 'KEEPTTL')
    end
    if left(known) > 0 then
      if id ~= ARGV[2] or id == ARGV[1] then
        redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left(known)))
        return current
      end
      birth = known
    end
  end
end
if left(birth) <= 0 then return false end
local value = '1 ' .. birth .. ' ' .. ARGV[1]
redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', left(birth)))
return value
";

/// The scripts of a store.
pub(super) struct Scripts {
    pub(super) touch: Script,
    pub(super) bind: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { touch: Script::new(TOUCH), bind: Script::new(BIND) }
    }

    /// Returns the commands with which each connection begins, for a store with this prefix.
    pub(super) fn first(&self, prefix: &str) -> Vec<Cmd> {
        let mut get = cmd("GETEX");
        get.arg(format!("{prefix}%1"));
        vec![get, self.touch.load(), self.bind.load()]
    }
}

/// Checks the replies to [`Scripts::first`]. A server that does not load scripts gets their text with each call.
pub(super) fn check(replies: &[Value]) -> Result<(), String> {
    match replies.first() {
        Some(Value::ServerError(error)) if error.code() == "ERR" => {
            Err("it does not know GETEX: Redis 6.2 or later does, and any Valkey".to_owned())
        }
        Some(Value::ServerError(error)) => Err(explain(error)),
        _ => Ok(()),
    }
}

/// Returns the command that looks up a binding and starts its idle timeout of `idle` milliseconds again.
pub(super) fn get(key: &[u8], idle: u64) -> Cmd {
    let mut get = cmd("GETEX");
    get.arg(key).arg("PX").arg(idle);
    get
}

/// Returns the command that ends a session.
pub(super) fn end(key: &[u8]) -> Cmd {
    let mut end = cmd("DEL");
    end.arg(key);
    end
}
