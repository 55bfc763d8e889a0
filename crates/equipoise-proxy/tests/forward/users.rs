//! Authentication.

use equipoise_proxy::forward::{
    AuthenticatedUser, BasicAuth, Credentials, ForwardProxy, ForwardSettings, Passwords, Rule,
};
use equipoise_tower::BoxError;
use http::Request;
use tower::ServiceExt;

use crate::rig::{Origin, Proxy, basic, echo, echoes, local, names};

async fn start(authentication: BasicAuth, rules: Vec<Rule>) -> Proxy {
    Proxy::start(rules, ForwardSettings::new().resolver(names()).authentication(authentication)).await
}

fn passwords() -> BasicAuth {
    BasicAuth::new("the \"proxy\"", Passwords::new().user("ann", "p:w\u{e4}")).expect("a realm")
}

#[tokio::test]
async fn a_client_without_valid_credentials_is_asked_for_them() {
    let (proxy, origin) = (start(passwords(), vec![local()]).await, Origin::start().await);
    for fields in [
        String::new(),
        basic("ann", "wrong"),
        basic("eve", "p:w\u{e4}"),
        basic("ann", "p:w\u{e4}") + &basic("ann", "p:w\u{e4}"),
        "proxy-authorization: Basic !\r\n".to_owned(),
        "proxy-authorization: Bearer YW5uOnA=\r\n".to_owned(),
        basic("ann", "p:w\u{e4}").replace("proxy-", ""),
    ] {
        for reply in [proxy.get(&origin.url("/"), &fields).await, proxy.refused("app.test:443", &fields).await] {
            assert_eq!((reply.status, reply.body.as_str()), (407, "this proxy needs a user and a password\n"));
            let challenge = reply.field("proxy-authenticate").expect("a challenge");
            assert_eq!(challenge, r#"basic realm="the \"proxy\"", charset="utf-8""#);
        }
    }
    assert_eq!((origin.connections(), proxy.proxy.stats().unauthenticated), (0, 14));
}

#[tokio::test]
async fn credentials_are_not_sent_on() {
    let (proxy, origin) = (start(passwords(), vec![local()]).await, Origin::start().await);
    let fields = basic("ann", "p:w\u{e4}") + "authorization: Basic b3RoZXI6c2VjcmV0\r\n";
    let reply = proxy.get(&origin.url("/"), &fields).await;
    assert_eq!(reply.status, 200);
    assert!(
        !reply.body.contains("proxy-") && reply.body.contains("authorization: Basic b3RoZXI6c2VjcmV0"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_closure_verifies_and_may_fail() {
    let verify = async |credentials: Credentials| match (credentials.user(), credentials.password()) {
        ("down", _) => Err(BoxError::from("the directory is down")),
        (user, password) => Ok(user == password),
    };
    let authentication = BasicAuth::new("p", verify).expect("a realm");
    let (port, _) = echo().await;
    let proxy = start(authentication, vec![Rule::deny().user("eve"), local()]).await;
    let target = format!("app.test:{port}");
    echoes(&mut proxy.tunnel(&target, &basic("ann", "ann")).await.expect("a tunnel"), "hello").await;
    for (user, password, status) in [("ann", "a", 407), ("down", "x", 503), ("eve", "eve", 403)] {
        assert_eq!(proxy.refused(&target, &basic(user, password)).await.status, status, "{user}");
    }
}

#[tokio::test]
async fn responses_name_the_user_for_the_log() {
    let origin = Origin::start().await;
    let proxy =
        ForwardProxy::with_settings([local()], ForwardSettings::new().resolver(names()).authentication(passwords()));
    let fields = basic("ann", "p:w\u{e4}");
    let value = fields.trim_end().split_once(": ").expect("a field").1;
    for (url, status, is_known) in
        [(origin.url("/"), 200, true), ("http://[::1]/".into(), 403, true), ("/".into(), 400, false)]
    {
        let request = Request::get(url).header("host", "x").header("proxy-authorization", value);
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
        let response = proxy.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(response.status(), status);
        let user = response.extensions().get().map(|AuthenticatedUser(name)| &**name);
        assert_eq!(user, is_known.then_some("ann"));
    }
}

#[tokio::test]
async fn a_layer_in_front_may_know_the_user() {
    let origin = Origin::start().await;
    let settings = ForwardSettings::new().resolver(names()).authentication(passwords());
    let proxy = ForwardProxy::with_settings([local().user("bob")], settings);
    for (name, status) in [("bob", 200), ("eve", 403)] {
        let request = Request::get(origin.url("/")).header("host", "x").extension(AuthenticatedUser(name.into()));
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
        let response = proxy.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(response.status(), status);
        assert_eq!(response.extensions().get(), Some(&AuthenticatedUser(name.into())));
    }
}

#[tokio::test]
async fn a_verifier_that_panics_has_not_verified() {
    let at_once = |_: Credentials| -> std::future::Ready<Result<bool, BoxError>> { panic!("a verifier of a user") };
    let later = |_: Credentials| async {
        tokio::task::yield_now().await;
        if true {
            panic!("a verifier of a user");
        }
        Ok::<bool, BoxError>(true)
    };
    let origin = Origin::start().await;
    for auth in [BasicAuth::new("p", at_once), BasicAuth::new("p", later)] {
        let settings = ForwardSettings::new().resolver(names()).authentication(auth.expect("a realm"));
        let proxy = Proxy::start([local()], settings).await;
        assert_eq!(proxy.refused("app.test:443", &basic("ann", "a")).await.status, 503);
        assert_eq!(proxy.get(&origin.url("/"), &basic("ann", "a")).await.status, 503);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_verifier_that_does_not_answer_is_not_waited_for_for_ever() {
    let never = |_: Credentials| std::future::pending::<Result<bool, BoxError>>();
    let settings = ForwardSettings::new()
        .authentication(BasicAuth::new("p", never).expect("a realm"))
        .connect_timeout(std::time::Duration::from_millis(50));
    let proxy = Proxy::start([local()], settings).await;
    assert_eq!(proxy.refused("app.test:443", &basic("ann", "a")).await.status, 503);
}
