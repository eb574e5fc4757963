"""Makes the expected texts of tests/it/data with Jinja2, set up as transformers'
`apply_chat_template` does it (same sandbox, whitespace rules, extensions and globals).

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install jinja2==3.1.6
    /tmp/venv/bin/python tests/make_expected.py

Reads `*.jinja` with `cases.json`, and `snippets.json`; writes `expected.json` and
`snippets.expected.json` beside them.
"""

import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATA = pathlib.Path(__file__).parent / "it" / "data"


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks text for training; for the text it is a scope."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_same")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def environment(now):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(tzinfo=None).strftime(format)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def render(source, case, special):
    try:
        return {"text": environment(case.get("now", 0)).from_string(source).render(
            messages=case.get("messages", []), tools=case.get("tools"), documents=case.get("documents"),
            add_generation_prompt=case.get("add_generation_prompt", True), **{**special, **case.get("extra", {})})}
    except Exception as error:
        kind = type(error).__name__
        # Only a template's own words are promised to be the same.
        return {"error": kind, "message": str(error)} if kind == "TemplateError" else {"error": kind}


def write(name, value):
    (DATA / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def main():
    given = json.loads((DATA / "cases.json").read_text())
    special, cases = given["special"], given["cases"]
    expected = {
        path.stem: {name: render(path.read_text(), case, special) for name, case in cases.items()}
        for path in sorted(DATA.glob("*.jinja"))
    }
    write("expected.json", {"special": special, "cases": cases, "expected": expected})
    snippets = json.loads((DATA / "snippets.json").read_text())
    case = snippets["case"]
    write("snippets.expected.json", {
        "case": case,
        "expected": [[source, render(source, case, special)] for source in snippets["sources"]],
    })


main()
