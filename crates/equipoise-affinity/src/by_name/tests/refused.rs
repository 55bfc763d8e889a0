//! Invalid texts, and the error message of each.

use super::{definition, refusal, spec};
use crate::by_name::{self, ModeDefinition, Parameter};

#[test]
fn invalid_texts_are_refused_with_a_valid_alternative() {
    let names = by_name::all().iter().map(ModeDefinition::name).collect::<Vec<_>>().join(", ");
    let parameters = |mode: &str| {
        let known = definition(mode).parameters();
        known.iter().map(Parameter::name).collect::<Vec<_>>().join(", ")
    };
    let stores = if cfg!(feature = "redis") {
        "table, redis or store"
    } else {
        "table or store (the feature affinity-redis of equipoise, or redis of equipoise-affinity, adds redis)"
    };
    for (text, message) in [
        ("", "expected the name of a mode (at 1), found the end of the text"),
        ("coookie", &*format!("there is no mode \"coookie\" (at 1): did you mean cookie? valid names are {names}")),
        ("COOKIE", &*format!("there is no mode \"COOKIE\" (at 1): did you mean cookie? valid names are {names}")),
        ("none(missing=refuse)", "none has no parameter \"missing\" (at 6): it has no parameters"),
        (
            "prefix(name=S, httponly)",
            &*format!("prefix has no parameter \"httponly\" (at 16): its parameters are {}", parameters("prefix")),
        ),
        (
            "cookie(SRV)",
            &*format!("cookie has no parameter \"SRV\" (at 8): its parameters are {}", parameters("cookie")),
        ),
        ("cookie(name=S, secure, secure)", "cookie sets secure twice (at 24)"),
        (
            "cookie",
            "cookie (at 1) needs name=…: name is a text (in quotes if it has characters other than letters, digits and -_.:/+), such as SRV",
        ),
        (
            "cookie(name=)",
            "cookie cannot have name=\"\" (at 13): name is a text (in quotes if it has characters other than letters, digits and -_.:/+), such as SRV",
        ),
        ("cookie(name)", "expected \"=\" and a value (at 12), found ')'"),
        (
            "cookie(name=S, secure=yes)",
            "cookie cannot have secure=\"yes\" (at 23): secure is true or false; its name alone means true",
        ),
        (
            "cookie(name=S, values=tokens)",
            "cookie cannot have values=\"tokens\" (at 23): values is token, id, name or dynamic",
        ),
        (
            "cookie(name=S, idle-timeout=500ms)",
            "cookie cannot have idle-timeout=\"500ms\" (at 29): idle-timeout is a time from 1s to 87600h in h, m, s, ms, us or ns, such as 30m",
        ),
        ("source(v6=129)", "source cannot have v6=\"129\" (at 11): v6 is a whole number from 0 to 128, such as 64"),
        (
            "header(name=x, capacity=0)",
            "header cannot have capacity=\"0\" (at 25): capacity is a whole number from 1 to 1073741824, such as 100000",
        ),
        ("learn(cookie=S, by=hash)", &*format!("learn cannot have by=\"hash\" (at 20): by is {stores}")),
        (
            "host(missing=retry)",
            "host cannot have missing=\"retry\" (at 14): missing is rebind, refuse or wait(…) with a time from 1ms to 1h, such as rebind",
        ),
        (
            "host(missing=wait(0s))",
            "host cannot have missing=\"wait(0s)\" (at 14): missing is rebind, refuse or wait(…) with a time from 1ms to 1h, such as rebind",
        ),
        ("host(missing=wait)", "expected \"(\" and a time (at 18), found ')'"),
        ("host(missing=wait(5s)", "expected \",\" or \")\" (at 22), found the end of the text"),
        (
            "host(max-share=0.9)",
            "host cannot have max-share=\"0.9\" (at 16): max-share is a number from 1 to 100, such as 1.25",
        ),
        (
            "host(max-share=nan)",
            "host cannot have max-share=\"nan\" (at 16): max-share is a number from 1 to 100, such as 1.25",
        ),
        (
            "route(cookie=S, after-first=ab)",
            "route cannot have after-first=\"ab\" (at 29): after-first is one ASCII character (in quotes unless it is a letter, a digit or one of -_.:/+), such as .",
        ),
        (
            "source(trusted=10.0.0.0/8)",
            "source cannot have trusted=\"10.0.0.0/8\" (at 16): trusted is a list of texts in curly brackets, such as {}",
        ),
        ("source(trusted={10.0.0.0/8", "expected \",\" or \"}\" (at 27), found the end of the text"),
        ("source(trusted={,})", "expected a text (at 17), found ','"),
        (
            "cookie(name=S, values=name, names={a=A, a=B})",
            "expected a name that is not in the list yet (at 41), found 'a'",
        ),
        ("cookie(name=\"S)", "expected a closing quote (at 16), found the end of the text"),
        ("host)", "expected the end of the text (at 5), found ')'"),
    ] {
        assert_eq!(refusal(text).to_string(), message, "{text}");
    }
}

#[test]
fn what_goes_not_together_is_refused_where_it_stands() {
    let (every, kept) = if cfg!(feature = "redis") {
        ("by=table, by=redis or by=store", "by=table or by=redis")
    } else {
        ("by=table or by=store", "by=table")
    };
    for (text, message) in [
        (
            "host(by=hash, unavailable=refuse)",
            &*format!("host (at 15): unavailable has no effect with by=hash: use it with {every}"),
        ),
        (
            "host(by=hash, unavailable=rebind)",
            &*format!("host (at 15): unavailable has no effect with by=hash: use it with {every}"),
        ),
        (
            "host(max-share=2, by=hash)",
            &*format!("host (at 6): max-share has no effect with by=hash: use it with {every}"),
        ),
        (
            "host(by=hash, idle-timeout=30m)",
            &*format!("host (at 15): idle-timeout has no effect with by=hash: use it with {kept}"),
        ),
        ("host(by=store, capacity=5)", "host (at 16): capacity has no effect with by=store: use it with by=table"),
        (
            "host(max-share=1.25, unavailable=wait(5s))",
            "host (at 6): max-share has no effect with unavailable=wait(5s): use it with unavailable=rebind",
        ),
        (
            "host(by=hash, force-cookie=x)",
            &*format!("host (at 15): force-cookie has no effect with by=hash: use it with {every}"),
        ),
        (
            "host(ignore-paths={/static, img})",
            "host (at 6): ignore-paths cannot contain \"img\": each text must begin with '/', as in /static",
        ),
        (
            "host(force-cookie=\"a b\")",
            "host (at 1): \"a b\" is not a cookie name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~",
        ),
        (
            "cookie(name=__Host-lb)",
            "cookie (at 8): browsers ignore the cookie \"__Host-lb\": its prefix needs `Secure`, so set it too",
        ),
        (
            "cookie(name=lb, attributes={Partitioned})",
            "cookie (at 17): browsers ignore the cookie \"lb\": Partitioned needs `Secure`, so set it too",
        ),
        (
            "host(by=table, missing=refuse)",
            "host (at 16): missing=refuse with by=table refuses every request, because a session gets into the table only when a request is accepted: use another store, or missing=rebind",
        ),
        (
            "source(header=x-forwarded-for)",
            "source (at 8): header needs trusted=…: the addresses of the proxies that set it, because any other client can set it too",
        ),
        (
            "source(trusted={private}, max-hops=3)",
            "source (at 27): max-hops needs header=…: the name of the header whose elements it limits",
        ),
        (
            "source(trusted={10.0.0.1/8})",
            "source (at 8): 10.0.0.1/8 is not a network, because bits after the prefix are set: use 10.0.0.0/8 for the network, or 10.0.0.1 for one address",
        ),
        ("path(segment=1, first=2)", "path (at 17): segment and first cannot both be set: use one of them"),
        (
            "header(name=\"a b\")",
            "header (at 8): \"a b\" is not a header name: use letters, digits and !#$%&'*+-.^_`|~",
        ),
        (
            "cookie(name=S, domain=\"a;b\")",
            "cookie (at 16): \"a;b\" cannot be a cookie's domain: use letters, digits, '.', '-' and '_', as in `.example.com`",
        ),
        (
            "cookie(name=S, same-site=None)",
            "cookie (at 16): same-site=None needs secure: browsers ignore the cookie without it",
        ),
        (
            "cookie(name=S, names={a=A})",
            "cookie (at 16): names has no effect with values=token: use it with values=name",
        ),
        (
            "cookie(name=S, values=name)",
            "cookie (at 16): values=name needs names=…: the id of each endpoint and its name in the cookie, such as {\"10.0.0.1:80\"=A}",
        ),
        (
            "cookie(name=S, values=name, names={a=A, b=A})",
            "cookie (at 29): \"A\" is the name of two endpoints: use a different name for each endpoint",
        ),
        (
            "rewrite(name=S, values=id, idle-timeout=1h)",
            "rewrite (at 28): idle-timeout has no effect with values=id: use it with values=token",
        ),
        (
            "learn(query=sid)",
            "learn (at 1): no parameter says where requests have the session key: set cookie or header, in which backends can set it",
        ),
        (
            "first-of(by=hash)",
            "first-of (at 1): no parameter says where requests have the session key: set cookie, header, path-parameter or query",
        ),
        (
            "route",
            "route (at 1): no parameter says where requests have the session key: set cookie, header, path-parameter or query",
        ),
        (
            "route(query=to, whole, after-last=\"!\")",
            "route (at 17): after-last and whole cannot both be set: use one of them",
        ),
        (
            "learn(cookie=\"a=b\")",
            "learn (at 1): \"a=b\" is not a cookie name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~",
        ),
    ] {
        assert_eq!(refusal(text).to_string(), message, "{text}");
    }
    // Accepted, because sessions come from the backends, from the application's own store, or from the hash.
    spec("learn(cookie=S, missing=refuse)");
    spec("host(by=store, missing=refuse)");
    spec("host(by=hash, missing=refuse)");
}

#[cfg(feature = "redis")]
#[test]
fn no_url_with_a_secret_is_taken_or_repeated() {
    for url in [
        "\"redis://:hunter2@10.0.0.5\"",
        "\"redis://app:hunter2@10.0.0.5:6379/0\"",
        "\"redis+unix:///run/redis.sock?db=1&pass=hunter2\"",
        "@hunter2",
        "{hunter2}",
    ] {
        let message = refusal(&format!("host(by=redis, url={url})")).to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert_eq!(
        refusal("host(by=redis)").to_string(),
        "host (at 6): by=redis needs url=…: the address of the Redis server, such as redis://10.0.0.5:6379/0"
    );
    assert_eq!(
        refusal("host(url=redis://10.0.0.5)").to_string(),
        "host (at 6): url has no effect with by=table: use it with by=redis"
    );
}
