//! Reads the statistics of the functions of a gateway. The names and labels are those of `metric::function`.

#[cfg(feature = "gateway-auth-jwt")]
use std::time::UNIX_EPOCH;

#[cfg(feature = "gateway-auth-basic")]
use equipoise_gateway::auth::BasicStats;
#[cfg(feature = "gateway-auth-jwt")]
use equipoise_gateway::auth::jwt::{JwtStats, KeysStats};
#[cfg(feature = "gateway-auth")]
use equipoise_gateway::auth::{AuthStats, ExternalStats};
#[cfg(feature = "gateway-browser")]
use equipoise_gateway::browser::{CorsStats, CsrfStats, RequestIdStats};
#[cfg(feature = "gateway-cache-redis")]
use equipoise_gateway::cache::store::RedisConnectionStats;
#[cfg(feature = "gateway-cache")]
use equipoise_gateway::cache::{CacheStats, store::StoreStats};
#[cfg(feature = "gateway-compression")]
use equipoise_gateway::compression::{CompressionStats, DecompressionStats, Encoding, EncodingStats};
use equipoise_gateway::filter::{BodyFilterStats, FilterStats, MaintenanceStats, RedirectStats, UriStats};
#[cfg(feature = "gateway-rate-limit-redis")]
use equipoise_gateway::limit::RedisLimitStats;
#[cfg(feature = "gateway-rate-limit")]
use equipoise_gateway::limit::{InFlightStats, LimitStats};

use super::function::FunctionReadings;

/// Filters, redirects and maintenance.
impl FunctionReadings {
    /// Adds the counters of rules, of `FilterLayer::stats`.
    pub fn filter(&mut self, stats: &FilterStats) {
        let FilterStats { allowed, denied, too_large, unmatched, ambiguous_paths, rules, .. } = stats;
        self.counters("filter_requests", "outcome", [("allowed", *allowed), ("denied", *denied)]);
        let events = [("body_too_large", *too_large), ("unmatched", *unmatched), ("ambiguous_path", *ambiguous_paths)];
        self.counters("filter_events", "event", events);
        for rule in rules {
            self.counter("filter_rule_requests", [("rule", rule.name.to_string().into())], rule.met);
        }
    }

    /// Adds the counters of a check of paths, of `UriLayer::stats`.
    pub fn uri(&mut self, stats: &UriStats) {
        let UriStats { rewritten, refused, .. } = stats;
        self.counter("uri_rewritten_requests", [], *rewritten);
        for (fault, count) in refused {
            self.counter("uri_refused_requests", [("reason", fault.as_str().into())], *count);
        }
    }

    /// Adds the counter of redirects, of `RedirectLayer::stats`.
    pub fn redirect(&mut self, stats: &RedirectStats) {
        self.counter("redirected_requests", [], stats.redirected);
    }

    /// Adds the state and the counters of a maintenance, of `MaintenanceLayer::stats`.
    pub fn maintenance(&mut self, stats: &MaintenanceStats) {
        let MaintenanceStats { active, changes, answered, exempt, .. } = *stats;
        self.gauge("maintenance_active", [], active.into());
        self.counter("maintenance_changes", [], changes);
        self.counters("maintenance_requests", "outcome", [("answered", answered), ("exempt", exempt)]);
    }

    /// Adds the counters of filters of request bodies, of `RequestBodyFilterLayer::stats`.
    pub fn request_bodies(&mut self, stats: &BodyFilterStats) {
        self.bodies("request", stats);
    }

    /// Adds the counters of filters of response bodies, of `ResponseBodyFilterLayer::stats`.
    pub fn response_bodies(&mut self, stats: &BodyFilterStats) {
        self.bodies("response", stats);
    }

    fn bodies(&mut self, body: &'static str, stats: &BodyFilterStats) {
        let BodyFilterStats { filtered, rejected, .. } = *stats;
        self.counter("filtered_bodies", [("body", body.into())], filtered);
        self.counter("rejected_bodies", [("body", body.into())], rejected);
    }
}

/// CORS, protection against cross-site requests, and request ids.
#[cfg(feature = "gateway-browser")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway-browser")))]
impl FunctionReadings {
    /// Adds the counter of preflights, of `CorsLayer::stats`.
    pub fn cors(&mut self, stats: &CorsStats) {
        self.counter("cors_preflights", [], stats.preflights);
    }

    /// Adds the counters of a protection against cross-site requests, of `CsrfLayer::stats`.
    pub fn csrf(&mut self, stats: &CsrfStats) {
        let CsrfStats { allowed, denied, .. } = *stats;
        self.counters("csrf_requests", "outcome", [("allowed", allowed), ("denied", denied)]);
    }

    /// Adds the counters of request ids, of `RequestIdLayer::stats`.
    pub fn request_ids(&mut self, stats: &RequestIdStats) {
        let RequestIdStats { kept, created, .. } = *stats;
        self.counters("request_ids", "origin", [("kept", kept), ("created", created)]);
    }
}

/// Authentication.
#[cfg(feature = "gateway-auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway-auth")))]
impl FunctionReadings {
    /// Adds the counters of an authentication and of its schemes, of `AuthLayer::stats`.
    pub fn auth(&mut self, stats: &AuthStats) {
        let AuthStats { allowed, anonymous, missing, invalid, denied, forbidden, unavailable, schemes, .. } = stats;
        let outcomes = [
            ("allowed", *allowed),
            ("anonymous", *anonymous),
            ("missing", *missing),
            ("invalid", *invalid),
            ("denied", *denied),
            ("forbidden", *forbidden),
            ("unavailable", *unavailable),
        ];
        self.counters("auth_requests", "outcome", outcomes);
        for scheme in schemes {
            let mechanism = ("mechanism", scheme.mechanism.as_str().into());
            let outcomes = [
                ("accepted", scheme.accepted),
                ("missing", scheme.missing),
                ("invalid", scheme.invalid),
                ("denied", scheme.denied),
                ("unavailable", scheme.unavailable),
            ];
            for (outcome, count) in outcomes {
                self.counter("auth_scheme_requests", [mechanism.clone(), ("outcome", outcome.into())], count);
            }
            for (reason, count) in &scheme.invalid_reasons {
                self.counter("auth_invalid_credentials", [mechanism.clone(), ("reason", (*reason).into())], *count);
            }
        }
    }

    /// Adds the counters of an external service, of `External::stats`.
    pub fn external(&mut self, stats: &ExternalStats) {
        let ExternalStats { requests, failures, timeouts, rejected, fail_open, cache_hits, waiting, .. } = *stats;
        self.counter("auth_external_requests", [], requests);
        self.gauge("auth_external_waiting", [], waiting);
        let events = [
            ("failure", failures),
            ("timeout", timeouts),
            ("rejected", rejected),
            ("fail_open", fail_open),
            ("cache_hit", cache_hits),
        ];
        self.counters("auth_external_events", "event", events);
    }

    /// Adds the counters of HTTP Basic authentication, of `Basic::stats`.
    #[cfg(feature = "gateway-auth-basic")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway-auth-basic")))]
    pub fn basic(&mut self, stats: &BasicStats) {
        let BasicStats { verifications, cache_hits, rejected, running, waiting, .. } = *stats;
        let results = [("verified", verifications), ("remembered", cache_hits), ("rejected", rejected)];
        self.counters("auth_passwords", "result", results);
        for (state, count) in [("running", running), ("waiting", waiting)] {
            self.gauge("auth_password_verifications", [("state", state.into())], count);
        }
    }

    /// Adds the counters of a scheme for JSON Web Tokens, of `Jwt::stats`, with those of its [`keys`](Self::keys).
    /// `source` tells it apart from other schemes of the function, for example by its issuer.
    #[cfg(feature = "gateway-auth-jwt")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway-auth-jwt")))]
    pub fn jwt(&mut self, source: &str, stats: &JwtStats) {
        let JwtStats { accepted, remembered, missing, refused, unavailable, keys, .. } = stats;
        let label = || ("source", source.to_owned().into());
        let outcomes = [
            ("accepted", *accepted),
            ("refused", refused.values().fold(0, |sum, count| count.saturating_add(sum))),
            ("missing", *missing),
            ("unavailable", *unavailable),
        ];
        for (outcome, count) in outcomes {
            self.counter("jwt_requests", [label(), ("outcome", outcome.into())], count);
        }
        self.counter("jwt_remembered_signatures", [label()], *remembered);
        for (refusal, count) in refused {
            self.counter("jwt_refused_tokens", [label(), ("reason", refusal.as_str().into())], *count);
        }
        self.keys(source, keys);
    }

    /// Adds the state of keys for JSON Web Tokens, of `Keys::stats`. `source` tells them apart from other keys of the
    /// function, for example by their file or URL. An attempt to read them that failed is a
    /// [problem](crate::report::FunctionReport::problems).
    #[cfg(feature = "gateway-auth-jwt")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway-auth-jwt")))]
    pub fn keys(&mut self, source: &str, stats: &KeysStats) {
        let KeysStats {
            keys, ignored, successes, failures, refreshes_for_unknown_keys, last_success, last_error, ..
        } = stats;
        let label = || ("source", source.to_owned().into());
        for (state, count) in [("usable", *keys), ("ignored", *ignored)] {
            self.gauge("jwt_keys", [label(), ("state", state.into())], count);
        }
        for (result, count) in [("success", *successes), ("failure", *failures)] {
            self.counter("jwt_key_reads", [label(), ("result", result.into())], count);
        }
        self.counter("jwt_key_refreshes_for_unknown_keys", [label()], *refreshes_for_unknown_keys);
        if let Some(since) = last_success.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            self.gauge("jwt_keys_last_success_timestamp_seconds", [label()], since.as_secs());
        }
        if let Some(error) = last_error {
            self.problem(format!("keys of {source}: {error}"));
        }
    }
}

/// Caches.
#[cfg(feature = "gateway-cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway-cache")))]
impl FunctionReadings {
    /// Adds the counters of a cache, of `CacheLayer::stats`, without those of its store: several caches may share a store.
    /// For a cache with a store of its own, pass `stats.store` to [`cache_store`](Self::cache_store) too.
    pub fn cache(&mut self, stats: &CacheStats) {
        let CacheStats { hits, stale, stale_while_revalidate, stale_on_error, validated, coalesced, misses, .. } =
            stats;
        let CacheStats { bypassed, invalidating, only_if_cached, background, waited_in_vain, .. } = stats;
        let CacheStats { stored, too_large, incomplete, not_stored, fetches, filling_bytes, .. } = stats;
        let results = [
            ("hit", *hits),
            ("stale", *stale),
            ("stale_while_revalidate", *stale_while_revalidate),
            ("stale_on_error", *stale_on_error),
            ("validated", *validated),
            ("coalesced", *coalesced),
            ("miss", *misses),
            ("bypassed", *bypassed),
            ("invalidating", *invalidating),
            ("only_if_cached", *only_if_cached),
        ];
        self.counters("cache_requests", "result", results);
        self.counter("cache_background_validations", [], *background);
        self.counter("cache_waits_in_vain", [], *waited_in_vain);
        self.counter("cache_stored_responses", [], *stored);
        let not_stored = not_stored.iter().copied().chain([("too_large", *too_large), ("incomplete", *incomplete)]);
        for (reason, count) in not_stored {
            self.counter("cache_not_stored_responses", [("reason", reason.into())], count);
        }
        self.gauge("cache_fetches", [], *fetches);
        self.gauge("cache_filling_bytes", [], *filling_bytes);
    }

    /// Adds the size and the counters of a store of caches, of `Store::stats`. A store that does not know its size, such
    /// as Redis, has no series for it.
    pub fn cache_store(&mut self, stats: &StoreStats) {
        let StoreStats { keys, bytes, max_bytes, found, not_found, stored, too_large, refused_purged, .. } = *stats;
        let StoreStats { evicted, expired, variants_dropped, purged, errors, .. } = *stats;
        if max_bytes > 0 {
            self.gauge("cache_store_keys", [], keys);
            self.gauge("cache_store_bytes", [], bytes);
            self.gauge("cache_store_limit_bytes", [], max_bytes);
        }
        let events = [
            ("found", found),
            ("not_found", not_found),
            ("stored", stored),
            ("too_large", too_large),
            ("refused_purged", refused_purged),
            ("evicted", evicted),
            ("expired", expired),
            ("variant_dropped", variants_dropped),
            ("purged", purged),
            ("error", errors),
        ];
        self.counters("cache_store_events", "event", events);
    }

    /// Adds the state of a store's connection to Redis, of `RedisStore::connection_stats`. The reason why Redis is not used
    /// is a [problem](crate::report::FunctionReport::problems).
    #[cfg(feature = "gateway-cache-redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway-cache-redis")))]
    pub fn cache_redis(&mut self, stats: &RedisConnectionStats) {
        let RedisConnectionStats { connects, connect_failures, unavailable, timeouts, refused, .. } = *stats;
        let RedisConnectionStats { connected, invalid, local_hits, .. } = *stats;
        self.gauge("redis_connected", [], connected.into());
        let events = [
            ("connected", connects),
            ("connect_failed", connect_failures),
            ("unavailable", unavailable),
            ("timeout", timeouts),
            ("error", refused),
            ("invalid", invalid),
            ("local_hit", local_hits),
        ];
        self.counters("redis_events", "event", events);
        if let Some(reason) = &stats.reason {
            self.problem(format!("Redis: {reason}"));
        }
    }
}

/// Compression of responses and decompression of requests.
#[cfg(feature = "gateway-compression")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway-compression")))]
impl FunctionReadings {
    /// Adds the counters of a compression of responses, of `CompressionLayer::stats`.
    pub fn compression(&mut self, stats: &CompressionStats) {
        let CompressionStats { zstd, brotli, gzip, deflate, not_accepted, skipped_busy, active, .. } = *stats;
        let names = ["compressed_responses", "compression_read_bytes", "compression_written_bytes"];
        self.encodings(names, [zstd, brotli, gzip, deflate]);
        self.counters("uncompressed_responses", "reason", [("not_accepted", not_accepted), ("busy", skipped_busy)]);
        self.gauge("compression_in_progress", [], active);
    }

    /// Adds the counters of a decompression of requests, of `DecompressionLayer::stats`.
    pub fn decompression(&mut self, stats: &DecompressionStats) {
        let DecompressionStats { zstd, brotli, gzip, deflate, concurrent, .. } = *stats;
        let DecompressionStats { unsupported, too_large, ratio, malformed, busy, .. } = *stats;
        let names = ["decompressed_requests", "decompression_read_bytes", "decompression_written_bytes"];
        self.encodings(names, [zstd, brotli, gzip, deflate]);
        let reasons = [
            ("unsupported", unsupported),
            ("too_large", too_large),
            ("ratio", ratio),
            ("malformed", malformed),
            ("busy", busy),
        ];
        self.counters("decompression_refused_requests", "reason", reasons);
        self.gauge("decompression_in_progress", [], concurrent);
    }

    fn encodings(&mut self, [count, read, written]: [&'static str; 3], stats: [EncodingStats; 4]) {
        let encodings = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip, Encoding::Deflate];
        for (encoding, EncodingStats { messages, bytes_in, bytes_out, .. }) in encodings.into_iter().zip(stats) {
            let label = [("encoding", encoding.as_str().into())];
            self.counter(count, label.clone(), messages);
            self.counter(read, label.clone(), bytes_in);
            self.counter(written, label, bytes_out);
        }
    }
}

/// Rate limits and limits on concurrent requests.
#[cfg(feature = "gateway-rate-limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway-rate-limit")))]
impl FunctionReadings {
    /// Adds the counters of each limit of a layer, of `RateLimitLayer::stats`.
    pub fn rate_limits(&mut self, stats: &[LimitStats]) {
        for stats in stats {
            let LimitStats { name, admitted, denied, dry_run_denied, delayed, missing_key, .. } = stats;
            let LimitStats { keys, evicted, inherited, .. } = stats;
            let limit = || ("limit", name.clone().into());
            let outcomes = [("admitted", *admitted), ("denied", *denied), ("dry_run_denied", *dry_run_denied)];
            for (outcome, count) in outcomes {
                self.counter("rate_limit_requests", [limit(), ("outcome", outcome.into())], count);
            }
            let events = [
                ("delayed", *delayed),
                ("missing_key", *missing_key),
                ("key_evicted", *evicted),
                ("key_inherited", *inherited),
            ];
            for (event, count) in events {
                self.counter("rate_limit_events", [limit(), ("event", event.into())], count);
            }
            self.gauge("rate_limit_keys", [limit()], *keys);
        }
    }

    /// Adds the state of the connection of limits to Redis, of `RateLimitLayer::redis_stats`. The reason why Redis is not
    /// used is a [problem](crate::report::FunctionReport::problems).
    #[cfg(feature = "gateway-rate-limit-redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway-rate-limit-redis")))]
    pub fn rate_limit_redis(&mut self, stats: &RedisLimitStats) {
        let RedisLimitStats { connected, reason, decisions, disconnected, timeouts, errors, saturated, .. } = stats;
        let RedisLimitStats { fallbacks, reconnects, script_reloads, .. } = stats;
        self.gauge("redis_connected", [], (*connected).into());
        let events = [
            ("reconnected", *reconnects),
            ("unavailable", *disconnected),
            ("timeout", *timeouts),
            ("error", *errors),
            ("saturated", *saturated),
            ("script_reloaded", *script_reloads),
        ];
        self.counters("redis_events", "event", events);
        self.counters("rate_limit_decisions", "by", [("redis", *decisions), ("fallback", *fallbacks)]);
        if let Some(reason) = reason {
            self.problem(format!("Redis: {reason}"));
        }
    }

    /// Adds the counters of a limit on concurrent requests, of `InFlightLayer::stats`.
    pub fn in_flight(&mut self, stats: &InFlightStats) {
        let InFlightStats { admitted, denied, missing_key, in_flight, keys, .. } = *stats;
        self.counters("in_flight_limit_requests", "outcome", [("admitted", admitted), ("denied", denied)]);
        self.counter("in_flight_limit_missing_keys", [], missing_key);
        self.gauge("in_flight_limit_in_flight", [], in_flight);
        self.gauge("in_flight_limit_keys", [], keys);
    }
}

#[cfg(all(test, feature = "full"))]
mod tests;
