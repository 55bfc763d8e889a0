//! The scripts of the store. Each operation is one script, so it is atomic and takes one round trip.
//!
//! A key of the cache is one hash in Redis. Its field `m` lists the variants, the newest first, each in a line: digest,
//! generation, response time, expiry, size, and the places of its tags. The field `v` with a digest has the entry.
//!
//! All gateways with a prefix have one table, a hash: `g` is the current generation, `f` the oldest one that counts,
//! `x` the last purge of a prefix, and `t…`, `u…` and `k…` are the last purges of tags, URLs and keys, by a hash of
//! their text. It has a fixed number of places, so it is bounded. A table that is lost (eviction, a restart) begins
//! again with a generation from the clock, and everything that was stored before it no longer counts.

use equipoise_affinity::__private::Script;
use xxhash_rust::xxh3::xxh3_64;

/// Number of places for each of tags, URLs and keys. All of them take about 5 MB in Redis.
const PLACES: u64 = 16 * 1024;

/// Reads the table. `live` returns whether a variant was not purged since it was stored and has not expired.
const COMMON: &str = r"
local g = redis.call('HGET', KEYS[2], 'g')
local f = redis.call('HGET', KEYS[2], 'f')
if not g or not f then
  local time = redis.call('TIME')
  g = string.format('%.0f', time[1] * 1000000 + time[2])
  f = g
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'g', g, 'f', f)
end
local function purged(since, places)
  if since < tonumber(f) or since > tonumber(g) then return true end
  if #places == 0 then return false end
  for _, at in ipairs(redis.call('HMGET', KEYS[2], unpack(places))) do
    if at and tonumber(at) > since then return true end
  end
  return false
end
local function variants(meta, url, now)
  local all = {}
  for line in string.gmatch(meta or '', '[^\n]+') do
    local digest, gen, time, expires, size, tags = string.match(line, '^(%x+) (%d+) (%d+) (%d+) (%d+)(.*)$')
    if digest then
      local places = {}
      if url ~= '' then places[1] = url end
      for tag in string.gmatch(tags, '%S+') do places[#places + 1] = tag end
      local live = (expires == '0' or tonumber(expires) > now) and not purged(tonumber(gen), places)
      all[#all + 1] = { digest = digest, time = tonumber(time), size = tonumber(size), line = line, live = live }
    end
  end
  return all
end
";

/// Arguments: the time, the place of the URL if the key has an extra part, the maximum of bytes. Returns the generation
/// and the entries.
const GET: &str = r"
local reply, total = { g }, 0
local meta = redis.call('HGET', KEYS[1], 'm')
if not meta then return reply end
for _, variant in ipairs(variants(meta, ARGV[2], tonumber(ARGV[1]))) do
  local field = 'v' .. variant.digest
  if variant.live then
    total = total + redis.call('HSTRLEN', KEYS[1], field)
    if total > tonumber(ARGV[3]) then break end
    reply[#reply + 1] = redis.call('HGET', KEYS[1], field) or nil
  end
end
if total == 0 then redis.call('UNLINK', KEYS[1]) end
return reply
";

/// Arguments: the time, the place of the URL if the key has an extra part, the generation, the digest of the variant,
/// its response time, expiry, time to live, the maximum number of variants, the maximum of bytes, the entry, and the
/// places that must not have been purged, of which the first two are those of the key and the URL. Returns 1, 0 if it
/// was purged, or 2 if the variant that is stored is newer.
const PUT: &str = r"
local now, since, digest, time = tonumber(ARGV[1]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local places = { 'x' }
for i = 11, #ARGV do places[#places + 1] = ARGV[i] end
if purged(since, places) then return 0 end
local line = digest .. ' ' .. g .. ' ' .. ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. #ARGV[10]
for i = 13, #ARGV do line = line .. ' ' .. ARGV[i] end
local total, count, lines, placed = #ARGV[10], 1, {}, false
local meta = redis.pcall('HGET', KEYS[1], 'm')
if type(meta) == 'table' then
  redis.call('UNLINK', KEYS[1])
  meta = ''
end
local olds = variants(meta, ARGV[2], now)
for _, old in ipairs(olds) do
  if old.live and old.digest == digest and old.time > time then return 2 end
end
for _, old in ipairs(olds) do
  if old.digest ~= digest then
    if old.live and count < tonumber(ARGV[8]) and total + old.size <= tonumber(ARGV[9]) then
      count, total = count + 1, total + old.size
      if not placed and old.time <= time then
        lines[#lines + 1], placed = line, true
      end
      lines[#lines + 1] = old.line
    else
      redis.call('HDEL', KEYS[1], 'v' .. old.digest)
    end
  end
end
if not placed then lines[#lines + 1] = line end
redis.call('HSET', KEYS[1], 'm', table.concat(lines, '\n'), 'v' .. digest, ARGV[10])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[7]) then redis.call('PEXPIRE', KEYS[1], ARGV[7]) end
return 1
";

/// Removes the first key. Argument: the place that was purged, or `f` for everything. Returns the number of variants
/// that the key had.
const PURGE: &str = r"
local gone = redis.pcall('HLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
local new = string.format('%.0f', tonumber(g) + 1)
if ARGV[1] == 'f' then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], 'g', new, ARGV[1], new)
if type(gone) ~= 'number' then return 0 end
return math.max(gone - 1, 0)
";

/// The scripts of a store.
pub(super) struct Scripts {
    pub(super) get: Script,
    pub(super) put: Script,
    pub(super) purge: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |text: &str| Script::new(format!("{COMMON}{text}"));
        Self { get: script(GET), put: script(PUT), purge: script(PURGE) }
    }
}

/// Which kind of label a place of the table is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Key,
    Url,
    Tag,
}

/// Returns the field of the table for a label. It is the same in all gateways, so the hash has no secret: an attacker
/// can make places collide, which costs cached responses and mixes none up.
pub(super) fn place(kind: Kind, label: &[u8]) -> String {
    let kind = match kind {
        Kind::Key => 'k',
        Kind::Url => 'u',
        Kind::Tag => 't',
    };
    format!("{kind}{}", xxh3_64(label) % PLACES)
}
