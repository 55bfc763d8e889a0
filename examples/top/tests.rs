//! The model with states and updates, the view, and the picture.

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
};
use serde_json::{Value, json};

use crate::{
    draw::{Picture, draw},
    input::action,
    model::{Model, Pool, ReadError},
    once,
    view::{Action, Sort, View},
};

fn endpoint(id: &str, rate: f64) -> Value {
    json!({
        "id": id, "address": "10.0.0.1:80", "tier": 0, "zone": null, "weight": 1, "availability": "up", "in_flight": 2,
        "max_in_flight": 100, "requests": { "total": 50, "in_flight": 2, "success": 45, "failure_server": 3 },
        "conditions": [], "checks": [], "connections": null,
        "samples": [[rate - 1.0, 0.0, 1, null, null], [rate, 1.0, 2, 3.25, 1500.0]],
    })
}

fn state() -> Value {
    let mut b = endpoint("b", 40.0);
    b["availability"] = "unhealthy".into();
    b["conditions"] = json!([{
        "source": "checks", "availability": "unhealthy", "reason": "http: status 500", "since": 4.5,
    }]);
    json!({
        "version": 1, "tick": 7, "at": 1_764_590_000.5, "uptime": 3_725.0,
        "build": { "program": "gateway", "version": "0.1.0", "library": "0.1.0" }, "writable": false,
        "pools": [
            {
                "name": "web", "strategy": "round-robin", "revision": 4,
                "stats": { "attempts": { "total": 100, "in_flight": 4, "failure_timeout": 6 }, "waiting": 1, "retries": 9 },
                "samples": [[60.0, 2.0, 4, 3.0, 9.0]],
                "endpoints": [endpoint("a", 20.0), b, endpoint("c", 30.0)], "departed": [{ "id": "d" }],
            },
            { "name": "api", "endpoints": [] },
        ],
        "listeners": [],
        "events": [{ "at": 1_764_590_000.0, "id": 1, "kind": "health", "pool": "web", "endpoint": "b", "to": "unhealthy" }],
    })
}

fn model() -> Model {
    Model::read(&state().to_string()).unwrap()
}

fn ids<'m>(view: &View, pool: &'m Pool) -> Vec<&'m str> {
    view.rows(pool).iter().map(|endpoint| endpoint.shown.id.as_str()).collect()
}

fn picture(model: Option<&Model>, view: &View, problem: Option<&str>) -> String {
    let mut terminal = Terminal::new(TestBackend::new(150, 30)).unwrap();
    let picture = Picture { url: "http://127.0.0.1:9900/", model, view, problem, age: 3 };
    terminal.draw(|frame| draw(frame, &picture)).unwrap();
    terminal.backend().to_string()
}

fn press(view: &mut View, model: &Model, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        let event = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        view.act(action(&event, view).unwrap(), model);
    }
}

#[test]
fn an_update_changes_only_what_it_names() {
    let mut model = model();
    // The clock of the server was set back, which changes no age.
    let update = json!({
        "tick": 8, "at": 1_764_500_000.0, "uptime": 3_726.0, "seconds": 1,
        "pools": [{
            "name": "web", "stats": { "attempts": { "total": 130, "in_flight": 7 } }, "sample": [30.0, 0.0, 7, 2.0, 4.0],
            "endpoints": [
                { "id": "b", "in_flight": 5, "sample": [11.0, 0.0, 5, 2.0, 4.0] },
                { "id": "e", "address": "10.0.0.5:80", "availability": "up", "sample": [1.0, 0.0, 0, null, null] },
            ],
            "removed": ["c"],
        }],
        "events": [{ "at": 1_764_590_001.0, "id": 2, "kind": "membership", "removed": ["c"] }],
    });
    model.update(&update.to_string()).unwrap();
    let web = &model.pools[0];
    assert_eq!(ids(&View::default(), web), ["a", "b", "e"]);
    assert_eq!((web.shown.stats.attempts.total, web.shown.strategy.as_str()), (130, "round-robin"));
    let [a, b, e] = &web.endpoints[..] else { panic!("three endpoints") };
    // An endpoint that the update does not name had no requests, and has as many in flight as before.
    assert_eq!((a.history.newest().rate, a.history.newest().in_flight), (0.0, 2.0));
    assert_eq!(a.history.last(9).map(|sample| sample.rate).collect::<Vec<_>>(), [19.0, 20.0, 0.0]);
    assert_eq!((b.history.newest().rate, b.shown.in_flight, b.shown.requests.total), (11.0, 5, 50));
    assert_eq!((b.reason().as_str(), b.since(model.uptime)), ("checks: http: status 500", Some(5.5)));
    assert_eq!(e.history.last(9).count(), 1);
    assert_eq!(model.pools[1].history.newest().rate, 0.0);
    assert_eq!(model.events.back().map(|event| event.details.as_str()), Some("removed=c"));

    // At once after a change, before the second is over.
    let update = json!({
        "at": 1_764_500_000.5, "uptime": 3_726.5, "seconds": 0,
        "pools": [{ "name": "web", "endpoints": [{ "id": "b", "availability": "up", "conditions": [] }] }],
    });
    model.update(&update.to_string()).unwrap();
    let b = &model.pools[0].endpoints[1];
    assert_eq!((b.history.last(9).count(), b.shown.availability.as_str(), b.reason().as_str()), (3, "up", ""));
    assert_eq!(b.since(model.uptime + 2.0), Some(2.0));

    // A reader that was too slow for two seconds gets the sample of the last one.
    let update = json!({ "seconds": 3, "pools": [{ "name": "web", "sample": [5.0, 0.0, 0, null, null] }] });
    model.update(&update.to_string()).unwrap();
    let rates = |model: &Model| model.pools[0].history.last(3).map(|sample| sample.rate).collect::<Vec<_>>();
    assert_eq!(rates(&model), [0.0, 0.0, 5.0]);
    let recent = json!([[6.0, 0.0, 0, null, null], [7.0, 0.0, 0, null, null]]);
    let web = json!({ "name": "web", "sample": [7.0, 0.0, 0, null, null], "recent_samples": recent });
    model.update(&json!({ "seconds": 2, "pools": [web] }).to_string()).unwrap();
    assert_eq!(rates(&model), [5.0, 6.0, 7.0]);
}

#[test]
fn histories_have_two_minutes() {
    let mut model = model();
    for _ in 0..3 {
        model.update(&json!({ "seconds": 100, "pools": [] }).to_string()).unwrap();
    }
    assert_eq!(model.pools[0].history.last(1_000).count(), 120);
    assert_eq!(model.pools[0].endpoints[0].history.last(1_000).count(), 120);
    model.update(&json!({ "seconds": u32::MAX }).to_string()).unwrap();
    assert_eq!(model.pools[0].history.last(1_000).count(), 120);
}

#[test]
fn an_update_of_an_unknown_pool_asks_for_the_whole_state() {
    let update = json!({ "seconds": 1, "pools": [{ "name": "new" }] });
    assert!(matches!(model().update(&update.to_string()), Err(ReadError::UnknownPool)));
}

#[test]
fn json_that_is_not_that_of_a_page_is_an_error() {
    for json in ["", "<html>", "[]", "{}", r#"{"pools":[{"endpoints":{}}]}"#, r#"{"pools":[{"samples":[[1]]}]}"#] {
        assert!(matches!(Model::read(json), Err(ReadError::Json(_))), "{json}");
        let _ = model().update(json);
    }
}

#[test]
fn endpoints_are_searched_and_sorted_by_keys() {
    let (model, mut view) = (model(), View::default());
    let web = &model.pools[0];
    for (keys, sort, order) in [
        ("", Sort::Endpoint, ["a", "b", "c"]),
        ("s", Sort::State, ["b", "a", "c"]),
        ("s", Sort::Rate, ["b", "c", "a"]),
        ("r", Sort::Rate, ["a", "c", "b"]),
        ("rssss", Sort::Endpoint, ["a", "b", "c"]),
    ] {
        press(&mut view, &model, keys);
        assert_eq!((view.sort, ids(&view, web)), (sort, order.to_vec()), "{keys}");
    }
    press(&mut view, &model, "/STATUSS\u{8} 500");
    assert_eq!((view.search.as_str(), ids(&view, web)), ("STATUS 500", vec!["b"]));
    press(&mut view, &model, "\n");
    assert!(!view.is_searching);
    press(&mut view, &model, "\u{1b}");
    assert_eq!(ids(&view, web).len(), 3);
    press(&mut view, &model, "/nothing");
    assert!(ids(&view, web).is_empty());
    assert!(picture(Some(&model), &view, None).contains("0 found"));
}

#[test]
fn the_selection_stays_at_its_endpoint_when_the_order_changes() {
    let (model, mut view) = (model(), View::default());
    let web = &model.pools[0];
    let selected = |view: &View| {
        let rows = view.rows(web);
        rows[view.selected(&rows)].shown.id.to_string()
    };
    press(&mut view, &model, "jjjjk");
    assert_eq!(selected(&view), "b");
    press(&mut view, &model, "sr");
    assert_eq!(selected(&view), "b");
    press(&mut view, &model, "g");
    assert_eq!(selected(&view), "c");
    press(&mut view, &model, "G");
    assert_eq!(selected(&view), "b");
}

#[test]
fn pools_are_shown_one_after_the_other() {
    let (model, mut view) = (model(), View::default());
    for pool in ["web", "api", "web"] {
        assert_eq!(view.pool(&model).unwrap().1.name.as_str(), pool);
        press(&mut view, &model, "p");
    }
    // Without pools and endpoints, all keys are harmless.
    press(&mut view, &Model::default(), "ppPjkGgsr/x\n\u{1b}??");
    press(&mut view, &model, "pjkG");
}

#[test]
fn control_c_ends_the_program_even_while_something_is_searched() {
    let mut view = View::default();
    view.is_searching = true;
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(action(&Event::Key(key), &view), Some(Action::Quit));
}

#[test]
fn the_picture_shows_the_state_with_its_reason_and_the_numbers() {
    let (model, mut view) = (model(), View::default());
    let drawn = picture(Some(&model), &view, None);
    for text in [
        "gateway 0.1.0 at http://127.0.0.1:9900/, up 1h 2m  ● live",
        "2 of 3 up, 1 left recently  60/s  2 errors/s  in flight 4  waiting 1  attempts 100  failed 6  retries 9",
        "p99 9.0ms, p50 3.0ms",
        "unhealthy   4s",
        "2/100     20       1   3.2ms    1.5s        50",
        "a: 10.0.0.1:80, tier 0, 50 attempts, 3 failed",
        "11:53:20 health pool=web endpoint=b to=unhealthy",
    ] {
        assert!(drawn.contains(text), "{text}\n{drawn}");
    }
    press(&mut view, &model, "j");
    assert!(picture(Some(&model), &view, None).contains("checks: http: status 500"));
    press(&mut view, &model, "?");
    assert!(picture(Some(&model), &view, None).contains("reverse the order"));
}

#[test]
fn the_picture_says_when_the_data_is_old() {
    let (model, view) = (model(), View::default());
    assert!(picture(Some(&model), &view, Some("no answer")).contains("○ 3s old: no answer"));
    assert!(picture(None, &view, Some("no answer")).contains("○ no answer"));
    assert!(picture(None, &view, None).contains("connecting"));
}

#[test]
fn a_narrow_terminal_leaves_out_columns_but_never_the_endpoint_and_its_state() {
    let (model, view) = (model(), View::default());
    for (width, shown) in [(150, "reason"), (80, "p99"), (60, "errors"), (30, "unhealthy")] {
        let mut terminal = Terminal::new(TestBackend::new(width, 30)).unwrap();
        let picture = Picture { url: "http://localhost/", model: Some(&model), view: &view, problem: None, age: 0 };
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        let drawn = terminal.backend().to_string();
        assert!(drawn.contains(shown) && drawn.contains("endpoint▼") && drawn.contains("unhealthy"), "{drawn}");
    }
}

#[test]
fn the_picture_fits_into_any_terminal() {
    let (model, mut view) = (model(), View::default());
    press(&mut view, &model, "?");
    for (width, height) in [(1, 1), (10, 3), (40, 12), (80, 24), (300, 100)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for model in [None, Some(&Model::default()), Some(&model)] {
            let picture = Picture { url: "http://localhost/", model, view: &view, problem: None, age: 0 };
            terminal.draw(|frame| draw(frame, &picture)).unwrap();
        }
    }
}

#[test]
fn no_text_of_the_server_controls_the_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{202e}";
    let text = state().to_string().replace("\"b\"", "\"HOSTILE\"").replace("status 500", "HOSTILE");
    let text = ["round-robin", "gateway", "web", "membership"]
        .iter()
        .fold(text, |text, word| text.replace(word, "HOSTILE"))
        .replace("HOSTILE", serde_json::to_string(hostile).unwrap().trim_matches('"'));
    let (model, mut view) = (Model::read(&text).unwrap(), View::default());
    press(&mut view, &model, "j");
    for shown in [picture(Some(&model), &view, None), once::table(&model)] {
        assert!(shown.contains("\\u{1b}]0;owned\\u{7}"), "{shown}");
        let harmful = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!shown.contains(harmful), "{shown:?}");
    }
}

#[test]
fn a_script_gets_one_line_for_each_endpoint() {
    let table = once::table(&model());
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0][..4], ["POOL", "ENDPOINT", "STATE", "SINCE"]);
    let b = "web b unhealthy 4s 1 2 100 40 1 3.2ms 1.5s 50 3 checks: http: status 500";
    assert_eq!(lines[2].join(" "), b);
}
