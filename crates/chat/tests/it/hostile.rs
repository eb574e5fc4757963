//! Templates that want too much: each ends in a typed error, soon, in bounded memory.

use std::time::{Duration, Instant};

use rocmforge_chat::{ChatError, ChatTemplate, Limits, Message, RenderInput, SpecialTokens};
use serde_json::{Map, json};

fn render(source: &str) -> Result<String, ChatError> {
    let messages = [Message::user("hi")];
    let special = SpecialTokens::new();
    ChatTemplate::parse(source)?.render(&RenderInput::new(&messages, &special))
}

/// Runs on a stack of 1 MiB, half of what worker threads have, against the clock.
fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let start = Instant::now();
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run);
    let done = thread.expect("thread").join().expect("no panic");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "took {took:?}");
    done
}

fn limit_of(source: String) -> &'static str {
    match on_a_small_stack(move || render(&source)) {
        Err(ChatError::Limit { what, .. }) => what,
        other => panic!("expected a limit, found {:?}", other.map(|t| t.len())),
    }
}

#[test]
fn m97_syntax_error_names_its_line() {
    for (source, line) in [
        ("a\nb\n{% if %}", 3),
        ("{{ 1 +\n }}", 2),
        ("\n{% for x in %}{% endfor %}", 2),
        ("{{ x | nosuch }}", 1),
        ("a\n{{ 'unclosed", 2),
        ("{% if a %}\n\n{% for b in c %}\n", 3),
    ] {
        match ChatTemplate::parse(source) {
            Err(ChatError::Syntax { line: found, .. }) => assert_eq!(found, line, "{source:?}"),
            other => panic!("{source:?}: {other:?}"),
        }
    }
}

#[test]
fn m97_runtime_error_names_its_line() {
    match render("a\n{# c\n #}\n{{ 'x'\n }}\n{{ nothing.at.all }}") {
        Err(ChatError::Render { line, message }) => {
            assert_eq!(line, Some(6));
            assert!(message.contains("undefined"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    match render("\n\n{{ raise_exception('no') }}") {
        Err(ChatError::Raised { line, message }) => {
            assert_eq!((line, message.as_str()), (Some(3), "no"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn m97_a_hundred_megabytes_of_template() {
    let start = Instant::now();
    assert_eq!(limit_of("x".repeat(100 << 20)), "template size in bytes");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn m97_twenty_thousand_nested_blocks() {
    let n = 20_000;
    for (open, close) in [
        ("{% if 1 %}", "{% endif %}"),
        ("{% for i in [1] %}", "{% endfor %}"),
        ("{% with %}", "{% endwith %}"),
        ("{% macro m() %}", "{% endmacro %}"),
        ("{% filter upper %}", "{% endfilter %}"),
        ("{% set x %}", "{% endset %}"),
    ] {
        let source = open.repeat(n) + &close.repeat(n);
        assert_eq!(limit_of(source), "nesting of the template", "{open}");
    }
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "", "]"),
        ("{1:", "1", "}"),
        ("f(", "", ")"),
        ("-", "1", ""),
        ("not (", "1", ")"),
        ("x[", "0", "]"),
        ("1 if ", "1", " else 1"),
        ("1 if 1 else ", "1", ""),
        ("x|default(", "1", ")"),
        ("x is sameas(", "1", ")"),
    ] {
        let source = format!("{{{{ {}{middle}{} }}}}", open.repeat(n), close.repeat(n));
        assert_eq!(limit_of(source), "nesting of the template", "{open}");
    }
    let targets = format!("{{% for {}a{} in x %}}{{% endfor %}}", "(".repeat(n), ")".repeat(n));
    assert_eq!(limit_of(targets), "nesting of the template");
}

/// Chains are trees that lean to one side, and as deep.
#[test]
fn m97_long_chains() {
    let n = 20_000;
    for link in [".a", "[0]", "|upper", "()", ".a()", "[1:]", " and 1", " or 1", " is none"] {
        let source = format!("{{{{ x{} }}}}", link.repeat(n));
        let found = on_a_small_stack(move || render(&source));
        assert!(matches!(found, Err(ChatError::Limit { .. } | ChatError::Syntax { .. })), "{link}: {found:?}");
    }
    let branches = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(n));
    assert_eq!(limit_of(branches), "nesting of the template");
    // Those that can be flat are.
    let sum = |n| format!("{{{{ 0{} }}}}", " + 1".repeat(n));
    assert_eq!(render(&sum(1000)).as_deref(), Ok("1000"));
    assert_eq!(limit_of(sum(n)), "operands or items of one expression");
    let text = format!("{{{{ ''{} }}}}", " ~ 'a'".repeat(1000));
    assert_eq!(render(&text).map(|t| t.len()), Ok(1000));
    let comparison = format!("{{{{ 1{} }}}}", " == 1".repeat(500));
    assert_eq!(render(&comparison).as_deref(), Ok("True"));
    let many = "{% if 1 %}a{% endif %}".repeat(n);
    assert_eq!(render(&many).map(|t| t.len()), Ok(n));
}

#[test]
fn m97_recursive_macro() {
    for source in [
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m() %}{% for i in [1] %}{% if i %}{{ m() | upper }}{% endif %}{% endfor %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ caller is defined }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
        "{% set x = [1] %}{% for i in x recursive %}{{ loop(x) }}{% endfor %}",
        "{% macro m() %}{{ (m if 1)() }}{% endmacro %}{{ m() }}",
        "{% macro m(f) %}{% set x %}{% filter upper %}{{ (f or 1)(f) }}{% endfilter %}{% endset %}{% endmacro %}{{ m(m) }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{% macro n(x=m) %}{{ n(x) }}{% endmacro %}{{ n() }}",
    ] {
        assert_eq!(limit_of(source.into()), "depth of calls", "{source}");
    }
}

/// Schemas nest, and macros that print them follow.
#[test]
fn forty_macros_within_each_other_are_fine() {
    let source =
        "{% macro f(n) %}{% for i in [n] if i %}{{ f(i - 1) }}{% else %}ok{% endfor %}{% endmacro %}{{ f(40) }}";
    assert_eq!(on_a_small_stack(move || render(source)).as_deref(), Ok("ok"));
}

#[test]
fn m97_range_of_a_billion() {
    assert_eq!(limit_of("{{ range(1000000000) }}".into()), "length of a range");
    assert_eq!(limit_of("{{ range(0 - 10**30, 10**30) }}".into()), "length of a range");
    assert!(matches!(render("{{ range(1e9) }}"), Err(ChatError::Render { .. })));
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    assert!(["number of steps", "work of the template in bytes"].contains(&limit_of(nested.into())));
}

#[test]
fn m97_thirty_doublings() {
    for source in [
        "{% set ns = namespace(s='x') %}{% for i in range(30) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = ns.s * 2 %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] | join %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='\"') %}{% for i in range(90) %}{% set ns.s = ns.s | tojson %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
        "{% macro d(s) %}{{ s }}{{ s }}{% endmacro %}{% set ns = namespace(s='x') %}{% for i in range(90) %}{% set ns.s = d(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(90) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(90) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s={}) %}{% for i in range(90) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s == ns.s | list }}{{ ns.s | tojson }}",
    ] {
        limit_of(source.into());
    }
}

#[test]
fn m97_a_billion_characters() {
    for source in [
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' * 10 ** 30 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x'.ljust(10 ** 30) }}",
        "{{ 'x'.zfill(1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ 'x\ny' | indent(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '\t'.expandtabs(1000000000) }}",
        "{{ [1] | tojson(indent=1000000000) }}",
        "{{ [1] | batch(1000000000, 'x') | list }}",
        "{{ [1] | slice(1000000000) | list }}",
        "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
        "{{ ('y' * 1000000).join('x' * 1000000) }}",
        "{{ ['x'] * 1000000 | length | join('y' * 1000000) }}",
        "{{ 10 ** 1000000000 }}",
        "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% set x %}{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}{% endset %}",
    ] {
        let found = on_a_small_stack(move || render(source));
        assert!(
            matches!(found, Err(ChatError::Limit { .. } | ChatError::Render { .. })),
            "{source}: {:?}",
            found.map(|t| t.len())
        );
    }
    let raw = "{% for i in range(100000) %}".to_owned() + &"x".repeat(500_000) + "{% endfor %}";
    limit_of(raw.clone());
    limit_of(format!("{{% set t %}}{raw}{{% endset %}}"));
    limit_of(format!("{{% macro t() %}}{raw}{{% endmacro %}}{{{{ t() | length }}}}"));
    // `1e9` is a float, and Python multiplies no string by one.
    assert!(matches!(render("{{ 'x' * 1e9 }}"), Err(ChatError::Render { .. })));
}

/// What would be endless or quadratic work without a long result.
#[test]
fn m97_work_without_output() {
    for source in [
        "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor %}",
        "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% set x = s.find('b') %}{% endfor %}",
        "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% set x = s == 'a' ~ s[1:] %}{% endfor %}",
        "{% set s = range(100000) | list %}{% for i in s %}{% if 'b' in s %}{% endif %}{% endfor %}",
        "{% set s = range(100000) | list %}{% for i in s %}{% set x = s | sort %}{% endfor %}",
        "{{ range(100000) | unique | list | length }}",
        "{% set s = 'a' * 8000000 %}{% for i in range(100000) %}{% set x = s | length %}{% endfor %}",
        "{% set s = 'a' * 4000000 %}{{ s.strip(s) }}",
    ] {
        limit_of(source.into());
    }
}

/// Containers in containers, which would end the stack when printed or dropped.
#[test]
fn m97_deep_values() {
    for source in [
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = (ns.x,) %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = ns.x | batch(1) | list %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = dict(a=ns.x) %}{% endfor %}",
        "{% set ns = namespace(x={'a': 1}) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x.items()} %}{% endfor %}",
    ] {
        assert_eq!(limit_of(source.into()), "nesting of lists and dicts", "{source}");
    }
    // Nothing that can refer back to a container can be put into one.
    for source in [
        "{% set ns = namespace() %}{% set ns.x = ns %}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}",
        "{% set ns = namespace(a=namespace()) %}",
        "{% macro m() %}{{ ns }}{% endmacro %}{% set ns = namespace(m=m) %}",
        "{% for i in [1] %}{% set x = [loop] %}{% endfor %}",
        "{% set c = cycler(1) %}{% set c = cycler(c) %}",
    ] {
        let found = on_a_small_stack(move || render(source));
        assert!(matches!(found, Err(ChatError::Render { .. })), "{source}: {found:?}");
    }
    let mut deep = json!("x");
    for _ in 0..1000 {
        deep = json!([deep]);
    }
    let messages = [Message::user("x").with("content", deep)];
    let special = SpecialTokens::new();
    let template = ChatTemplate::parse("{{ messages | tojson }}").expect("valid");
    let found = template.render(&RenderInput::new(&messages, &special));
    assert!(matches!(found, Err(ChatError::Input { .. })), "{found:?}");
}

/// The ways out of a Python sandbox lead nowhere here.
#[test]
fn m97_python_attributes() {
    for source in [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'] }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ '' | attr('__class__') | attr('__mro__') | list | first | attr('x') + 1 }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ (messages | map(attribute='role.__class__.__mro__') | list)[0] + 'x' }}",
    ] {
        let found = render(source);
        assert!(matches!(found, Err(ChatError::Render { .. })), "{source}: {found:?}");
    }
}

/// Bugs of engines that were found while this was written, and their like.
#[test]
fn m97_engine_panics() {
    for source in [
        "{% for i in [1, 2] %}{% with %}{% continue %}{% endwith %}{% endfor %}",
        "{% for i in [1, 2] %}{% set x %}{% break %}{% endset %}{% endfor %}",
        "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}",
        "{% for i in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
        "{% for i in [1] %}{% else %}{% break %}{% endfor %}",
        "{{ loop(1) }}",
        "{{ loop.cycle(1) }}",
        "{{ caller() }}",
        "{% call x() %}{% endcall %}",
        "{{ range(1, 2, 0) }}",
        "{{ -170141183460469231731687303715884105728 - 1 }}",
        "{{ 170141183460469231731687303715884105727 + 1 }}",
        "{{ (-170141183460469231731687303715884105727 - 1) // -1 }}",
        "{{ -(-170141183460469231731687303715884105727 - 1) }}",
        "{{ 99999999999999999999999999999999999999999999 }}",
        "{{ 1e999 }}",
        "{{ '%99999999999999999999999999999999999999999d' % 1 }}",
        "{{ '%' % () }}",
        "{{ '{' .format() }}",
        "{{ '\\ud800' }}",
        "{{ '\\x4' }}",
        "{{ 1 | round(method='x') }}",
        "{{ [] | batch(0) }}",
        "{{ [] | slice(-1) }}",
        "{{ __rf_add(1) }}",
        "{% set __rf_work = 1 %}",
        "{{ f(*x) }}",
        "{{ f(**x) }}",
    ] {
        let found = on_a_small_stack(move || render(source));
        assert!(
            matches!(found, Err(ChatError::Render { .. } | ChatError::Syntax { .. } | ChatError::Limit { .. })),
            "{source}: {found:?}"
        );
    }
}

/// H43: a template or its variables in a request cost no more than a file's template.
#[test]
fn h43_template_and_variables_of_a_request() {
    let limits = Limits { output_bytes: 1000, steps: 1000, work_bytes: 100_000, ..Limits::default() };
    let parse = |source: &str| ChatTemplate::parse_with(source, limits).expect("valid");
    let (messages, special) = ([Message::user("hi")], SpecialTokens::new());
    let input = RenderInput::new(&messages, &special);
    let what = |source: &str, input: &RenderInput| match parse(source).render(input) {
        Err(ChatError::Limit { what, .. }) => what,
        other => panic!("{source}: {other:?}"),
    };
    let steps = "{% for i in range(1000) %}{% if i %}{% endif %}{% endfor %}";
    assert_eq!(what(steps, &input), "number of steps");
    assert_eq!(what("{{ 'x' * 999 }}{{ 'y' * 999 }}", &input), "length of the rendered text");
    assert_eq!(what("{{ 'x' * 1001 }}", &input), "length of a string in bytes");
    let work = "{% for i in range(200) %}{% set x = 'y' * 999 %}{% endfor %}";
    assert_eq!(what(work, &input), "work of the template in bytes");

    let mut extra = Map::new();
    extra.insert("messages".into(), json!("not these"));
    extra.insert("__rf_work".into(), json!(1));
    extra.insert("range".into(), json!(2));
    extra.insert("x".into(), json!("{{ 7 * 7 }}"));
    let input = RenderInput { extra: &extra, ..input };
    let found = parse("{{ messages[0].content }} {{ x }}").render(&input);
    assert_eq!(found.as_deref(), Ok("hi {{ 7 * 7 }}"));
    assert_eq!(what("{{ 'x' * 1001 }}", &input), "length of a string in bytes");
}

/// Mutated templates never panic, whatever else they do.
#[test]
fn mutated_templates_end_in_text_or_an_error() {
    let seeds = [
        include_str!("data/chatml_tools.jinja"),
        include_str!("data/strict_turns.jinja"),
        include_str!("data/types_macro.jinja"),
    ];
    let pieces = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "|",
        ".",
        "'",
        "\"",
        "\\",
        ":",
        ",",
        " is ",
        " not ",
        " in ",
        "%",
        "**",
        "é",
        "\u{0}",
        "{% endfor %}",
        "loop",
        "messages",
        "{% for x in y %}",
        "1e9",
        "~",
        "\n",
        "none",
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let messages = [Message::system("s"), Message::user("hi"), Message::assistant("yo")];
    let special = SpecialTokens::new();
    let limits = Limits { steps: 200_000, ..Limits::default() };
    let mut rendered = 0;
    for round in 0..3000 {
        let mut source: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..1 + next(3) {
            let at = next(source.len());
            match next(3) {
                0 => {
                    let to = (at + 1 + next(8)).min(source.len());
                    source.drain(at..to);
                }
                _ => {
                    let piece = pieces[next(pieces.len())];
                    source.splice(at..at, piece.chars());
                }
            }
        }
        let source: String = source.into_iter().collect();
        let done =
            ChatTemplate::parse_with(&source, limits).and_then(|t| t.render(&RenderInput::new(&messages, &special)));
        match done {
            Ok(_) => rendered += 1,
            Err(ChatError::Internal { message }) => panic!("{message}\n{source}"),
            Err(_) => {}
        }
    }
    assert!(rendered > 100, "only {rendered} rendered");
}
