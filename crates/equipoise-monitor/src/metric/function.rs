//! The families of the functions of a gateway. `source::gateway` makes their readings.

use super::family::Family;

/// All families of functions, in the order in which they are exported.
pub(super) static FAMILIES: &[Family] = &[
    Family::counter(
        "equipoise_filter_requests",
        &["function", "outcome"],
        "Requests that a filter has passed on or denied, by outcome.",
    ),
    Family::counter(
        "equipoise_filter_events",
        &["function", "event"],
        "Requests with a body beyond its limit, with an ambiguous path, or that no rule has decided, by event.",
    ),
    Family::counter(
        "equipoise_filter_rule_requests",
        &["function", "rule"],
        "Requests that met the conditions of the rule of a filter.",
    ),
    Family::counter("equipoise_uri_rewritten_requests", FUNCTION, "Requests whose path was normalized."),
    Family::counter(
        "equipoise_uri_refused_requests",
        &["function", "reason"],
        "Requests that were refused because of their path, by reason.",
    ),
    Family::counter("equipoise_redirected_requests", FUNCTION, "Requests that were redirected."),
    Family::gauge("equipoise_maintenance_active", FUNCTION, "Whether the maintenance is active (1) or not (0)."),
    Family::counter("equipoise_maintenance_changes", FUNCTION, "Times that the maintenance was switched on or off."),
    Family::counter(
        "equipoise_maintenance_requests",
        &["function", "outcome"],
        "Requests during maintenance that got the page, or were exempt, by outcome.",
    ),
    Family::counter(
        "equipoise_filtered_bodies",
        &["function", "body"],
        "Bodies of requests or responses that were given to a filter.",
    ),
    Family::counter(
        "equipoise_rejected_bodies",
        &["function", "body"],
        "Bodies of requests or responses that a filter has ended.",
    ),
    Family::counter("equipoise_cors_preflights", FUNCTION, "Preflights that were answered."),
    Family::counter(
        "equipoise_csrf_requests",
        &["function", "outcome"],
        "Requests that the protection against cross-site requests has allowed or denied, by outcome.",
    ),
    Family::counter(
        "equipoise_request_ids",
        &["function", "origin"],
        "Requests whose id was kept, or that got a new one, by origin of the id.",
    ),
    Family::counter(
        "equipoise_auth_requests",
        &["function", "outcome"],
        "Requests by the outcome of their authentication.",
    ),
    Family::counter(
        "equipoise_auth_scheme_requests",
        &["function", "mechanism", "outcome"],
        "Requests by what one mechanism of an authentication has decided.",
    ),
    Family::counter(
        "equipoise_auth_invalid_credentials",
        &["function", "mechanism", "reason"],
        "Requests with credentials that are not valid, by reason.",
    ),
    Family::counter(
        "equipoise_auth_passwords",
        &["function", "result"],
        "Requests with a password that was verified, whose result was remembered, or that were rejected because of the load.",
    ),
    Family::gauge(
        "equipoise_auth_password_verifications",
        &["function", "state"],
        "Verifications of passwords that run or wait now, by state.",
    ),
    Family::counter(
        "equipoise_auth_external_requests",
        FUNCTION,
        "Requests that were sent to the external service of an authentication.",
    ),
    Family::gauge(
        "equipoise_auth_external_waiting",
        FUNCTION,
        "Requests that wait for the external service of an authentication now.",
    ),
    Family::counter(
        "equipoise_auth_external_events",
        &["function", "event"],
        "What has happened with the external service of an authentication, by the name of the event.",
    ),
    Family::counter(
        "equipoise_jwt_requests",
        &["function", "source", "outcome"],
        "Requests by what a scheme for JSON Web Tokens has decided.",
    ),
    Family::counter(
        "equipoise_jwt_refused_tokens",
        &["function", "source", "reason"],
        "Requests with a JSON Web Token that was refused, by reason.",
    ),
    Family::counter(
        "equipoise_jwt_remembered_signatures",
        &["function", "source"],
        "Requests with a JSON Web Token whose signature was verified for an earlier request already.",
    ),
    Family::gauge(
        "equipoise_jwt_keys",
        &["function", "source", "state"],
        "Keys for JSON Web Tokens that are usable, or that were ignored when they were read, by state.",
    ),
    Family::counter(
        "equipoise_jwt_key_reads",
        &["function", "source", "result"],
        "Attempts to read the keys for JSON Web Tokens, by result. After a failure, the last good keys stay in use.",
    ),
    Family::counter(
        "equipoise_jwt_key_refreshes_for_unknown_keys",
        &["function", "source"],
        "Times that the keys for JSON Web Tokens were read because of a token whose key was not known.",
    ),
    Family::gauge(
        "equipoise_jwt_keys_last_success_timestamp",
        &["function", "source"],
        "When the keys for JSON Web Tokens were last read, in seconds since 1970.",
    )
    .seconds(),
    Family::counter(
        "equipoise_cache_requests",
        &["function", "result"],
        "Requests by what the cache has done for them. Each request has one result.",
    ),
    Family::counter(
        "equipoise_cache_background_validations",
        FUNCTION,
        "Validations of stale responses in the background that were started.",
    ),
    Family::counter(
        "equipoise_cache_waits_in_vain",
        FUNCTION,
        "Requests that waited for the fetch of another request, and then fetched for themselves.",
    ),
    Family::counter("equipoise_cache_stored_responses", FUNCTION, "Responses that the cache has handed to its store."),
    Family::counter(
        "equipoise_cache_not_stored_responses",
        &["function", "reason"],
        "Responses that the cache has not stored, by reason.",
    ),
    Family::gauge(
        "equipoise_cache_fetches",
        FUNCTION,
        "Fetches of the cache in progress that other requests can join.",
    ),
    Family::gauge(
        "equipoise_cache_filling",
        FUNCTION,
        "Bytes that are held for responses which the cache is receiving.",
    )
    .bytes(),
    Family::gauge("equipoise_cache_store_keys", FUNCTION, "Keys in the store of caches. No series if it is not known."),
    Family::gauge(
        "equipoise_cache_store",
        FUNCTION,
        "Size of everything in the store of caches. No series if it is not known.",
    )
    .bytes(),
    Family::gauge(
        "equipoise_cache_store_limit",
        FUNCTION,
        "Maximum size of the store of caches. No series if it is not known.",
    )
    .bytes(),
    Family::counter(
        "equipoise_cache_store_events",
        &["function", "event"],
        "What has happened in the store of caches, by the name of the event.",
    ),
    Family::counter(
        "equipoise_compressed_responses",
        &["function", "encoding"],
        "Responses that were compressed, by encoding.",
    ),
    Family::counter("equipoise_compression_read", &["function", "encoding"], "Bytes of responses before compression.")
        .bytes(),
    Family::counter(
        "equipoise_compression_written",
        &["function", "encoding"],
        "Bytes of responses after compression.",
    )
    .bytes(),
    Family::counter(
        "equipoise_uncompressed_responses",
        &["function", "reason"],
        "Responses that could be compressed and were not, by reason.",
    ),
    Family::gauge("equipoise_compression_in_progress", FUNCTION, "Responses that are compressed now."),
    Family::counter(
        "equipoise_decompressed_requests",
        &["function", "encoding"],
        "Requests that were decompressed, by encoding.",
    ),
    Family::counter(
        "equipoise_decompression_read",
        &["function", "encoding"],
        "Bytes of requests before decompression.",
    )
    .bytes(),
    Family::counter(
        "equipoise_decompression_written",
        &["function", "encoding"],
        "Bytes of requests after decompression.",
    )
    .bytes(),
    Family::counter(
        "equipoise_decompression_refused_requests",
        &["function", "reason"],
        "Requests that were refused because of their encoding, of what their body is decompressed to, or of the load, by reason.",
    ),
    Family::gauge("equipoise_decompression_in_progress", FUNCTION, "Bodies of requests that are decompressed now."),
    Family::counter(
        "equipoise_rate_limit_requests",
        &["function", "limit", "outcome"],
        "Requests by the outcome of one rate limit. Another limit may have denied a request that this one admits.",
    ),
    Family::counter(
        "equipoise_rate_limit_events",
        &["function", "limit", "event"],
        "Requests that a rate limit has delayed, or without its key, and keys that were evicted, by event.",
    ),
    Family::gauge(
        "equipoise_rate_limit_keys",
        &["function", "limit"],
        "Keys in the table of the rate limit in this process.",
    ),
    Family::counter(
        "equipoise_rate_limit_decisions",
        &["function", "by"],
        "Requests on which Redis, or the fallback in this process, has decided. No series for limits without Redis.",
    ),
    Family::counter(
        "equipoise_in_flight_limit_requests",
        &["function", "outcome"],
        "Requests by the outcome of a limit on concurrent requests.",
    ),
    Family::counter(
        "equipoise_in_flight_limit_missing_keys",
        FUNCTION,
        "Requests without the key of a limit on concurrent requests.",
    ),
    Family::gauge(
        "equipoise_in_flight_limit_in_flight",
        FUNCTION,
        "Requests in flight that a limit on concurrent requests counts.",
    ),
    Family::gauge(
        "equipoise_in_flight_limit_keys",
        FUNCTION,
        "Keys of a limit on concurrent requests that have requests in flight.",
    ),
    Family::gauge(
        "equipoise_redis_connected",
        FUNCTION,
        "Whether a cache or a rate limit can use Redis (1) or not (0).",
    ),
    Family::counter(
        "equipoise_redis_events",
        &["function", "event"],
        "What has happened on the connection of a cache or a rate limit to Redis, by the name of the event.",
    ),
];

const FUNCTION: &[&str] = &["function"];

/// Returns the name that readings of a family have.
pub(super) fn reading_name(family: &Family) -> String {
    let base = family.base();
    let base = base.strip_prefix("equipoise_").unwrap_or(base);
    family.unit().map_or_else(|| base.to_owned(), |unit| format!("{base}_{}", unit.as_str()))
}
