//! Liveness, readiness, and the way to the end.

use std::sync::mpsc;

use crate::harness::Harness;

#[test]
fn the_server_answers_before_the_model_is_loaded() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Harness::loading(
        &[],
        |_| {},
        move || {
            let _ = wait.lock().expect("the only user").recv();
        },
    );
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/live").status, 200);
    let ready = server.get("/ready");
    ready.assert_error(503);
    assert!(ready.text().contains("loaded") && ready.header("retry-after").is_some(), "{ready:?}");
    go_on.send(()).expect("it waits");
    server.state.engine.wait_ready_blocking();
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn every_answer_names_its_request_and_its_trace() {
    let server = Harness::start();
    let given = server.send(
        "GET /version HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine-1\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    );
    assert_eq!(given.header("x-request-id"), Some("mine-1"));
    let trace = given.header("traceparent").expect("a trace");
    assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && trace.ends_with("-01"), "{trace}");
    let (first, second) = (server.get("/version"), server.get("/version"));
    assert_ne!(first.header("x-request-id").expect("a name"), second.header("x-request-id").expect("a name"));
}

#[test]
fn figures_have_the_names_that_routers_read() {
    let server = Harness::start();
    let text = server.get("/metrics").text();
    for name in [
        "vllm:num_requests_waiting{",
        "vllm:num_requests_running{",
        "vllm:kv_cache_usage_perc{",
        "vllm:cache_config_info{",
        "rocmforge:http_connections ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in {text}");
    }
    assert!(text.contains("model_name=\"rocmforge-demo\"") && text.contains("block_size=\"16\""), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn an_idle_server_ends_when_asked() {
    let mut server = Harness::start();
    server.assert_alive_and_level();
    server.ask_to_stop();
    assert!(server.join().is_ok());
}
