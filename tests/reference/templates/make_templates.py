"""Writes what Python's jinja2 makes of chat templates, for the tests of coordinator/gateway/jinja.

    python3 make_templates.py        (needs: pip install jinja2)

families.json: the templates in families/ over a set of conversations.
random.json: small random templates (seeded): expressions, statements, white space control.
The environment is configured as Hugging Face transformers configures it for chat templates.
"""
import copy
import datetime
import json
import pathlib
import random
import re
import warnings

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2025, 3, 9, 14, 5, 6)
SEED = 20250309
NUM_EXPRESSIONS, NUM_STATEMENTS, NUM_SPACES = 2600, 900, 700


class Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %}: marks what the model wrote; prints as it stands."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Raised(Exception):
    pass


def raise_exception(message):
    raise Raised(str(message))


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


ENV = environment()


def render(source, variables):
    """{"out": text}, or {"raised": message} from raise_exception, or {"error": 1}."""
    try:
        return {"out": ENV.from_string(source).render(**variables)}
    except Raised as error:
        return {"raised": str(error)}
    except Exception:
        return {"error": 1}


# --- families ---

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place.",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "A city, e.g. Zürich"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {}}}}}}}
CLOCK = {"type": "function", "function": {
    "name": "now", "description": "The \"time\" <now>.", "parameters": {"type": "object", "properties": {}},
    "return": {"type": "string"}}}


def call(name, arguments, call_id="abcdefgh1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "one": [turn("user", " Hello there \n")],
    "system": [turn("system", "Be brief.\n"), turn("user", "What is 2+2?")],
    "several": [turn("system", "Sei höflich. 你好"), turn("user", "a"), turn("assistant", " b \n"),
                turn("user", "it's <b>\"c\"</b> & 🎈"), turn("assistant", "d"), turn("user", "e")],
    "answered": [turn("user", "a"), turn("assistant", "b")],
    "two_users": [turn("user", "a"), turn("user", "b")],
    "assistant_first": [turn("assistant", "a"), turn("user", "b")],
    "empty": [],
    "no_content": [turn("user", "a"), {"role": "assistant"}],
    "null_content": [turn("user", "a"), turn("assistant", None), turn("user", "c")],
    "odd_role": [turn("user", "a"), turn("narrator", "b")],
    "late_system": [turn("user", "a"), turn("assistant", "b"), turn("system", "c"), turn("user", "d")],
    "think": [turn("user", "why?"), turn("assistant", "<think>\nhm\n\n</think>\n\nso."), turn("user", "and?"),
              turn("assistant", "<think>\nlet me see\n</think>\n\nthus.\n")],
    "reasoning": [turn("user", "why?"), turn("assistant", "so.", reasoning_content="\nbecause\n")],
    "tool": [turn("system", "Use tools."), turn("user", "Weather in Zürich?"),
             turn("assistant", None, tool_calls=[call("get_weather", {"place": "Zürich", "days": 2})]),
             turn("tool", '{"temp": 21.5}', tool_call_id="abcdefgh1"),
             turn("assistant", "It is 21.5 °C."), turn("user", "Thanks")],
    "tool_pair": [turn("user", "Both?"),
                  turn("assistant", "Let me look.", tool_calls=[call("now", {}),
                                                                call("get_weather", {"place": "Oslo"}, "abcdefgh2")]),
                  turn("tool", "12:00", tool_call_id="abcdefgh1"), turn("tool", "snow", tool_call_id="abcdefgh2")],
    "tool_text": [turn("user", "x"), turn("assistant", "", tool_calls=[call("now", '{"a": 1}', "short")]),
                  turn("tool", {"content": "12:00", "n": [1, 2.0, None, True]}, tool_call_id="short"),
                  turn("user", "<tool_response>\nq\n</tool_response>")],
    "parts": [turn("developer", "x"), turn("user", [{"type": "text", "text": "a"}, {"type": "image"},
                                                     {"type": "input_text", "text": "b"}]), turn("user", [])],
}
EXTRAS = [{}, {"enable_thinking": False}, {"enable_thinking": True, "date_string": "1 Jan 2025"},
          {"tools_in_user_message": False}, {"builtin_tools": ["code_interpreter", "get_weather"]}]


def family_cases():
    cases = []
    for path in sorted((HERE / "families").glob("*.jinja")):
        source = path.read_text()
        for name, messages in CONVERSATIONS.items():
            for tools in (None, [WEATHER, CLOCK]):
                for prompt in (False, True):
                    for extra in EXTRAS:
                        if any(key not in source for key in extra):
                            continue
                        if not prompt and (extra or "add_generation_prompt" not in source):
                            continue
                        if tools and "tools" not in source:
                            continue
                        if extra and name not in ("system", "think", "tool"):
                            continue
                        result = render(source, dict(
                            messages=messages, tools=tools, documents=None, add_generation_prompt=prompt,
                            bos_token="<s>", eos_token="</s>", **extra))
                        cases.append({"template": path.stem, "messages": name, "tools": tools is not None,
                                      "prompt": prompt, "extra": extra, **result})
    return {"conversations": CONVERSATIONS, "tools": [WEATHER, CLOCK], "cases": cases}


# --- random templates ---

CONTEXT = {
    "n": 7, "z": 0, "m": -3, "x": 2.5, "y": -0.75, "big": 1e17, "t": True, "f": False, "nil": None,
    "s": "Hello World", "e": "", "u": " Zürich\n über\t", "w": "a,b,,c", "p": "it's \"q\"",
    "l": [3, 1, 2], "v": ["b", "A", "c", "a"], "k": [], "mix": [1, "a", None, 2.0, True, [1, 2]],
    "d": {"a": 1, "b": "two", "items": 3, "c": {"d": [1, {"e": "deep"}]}},
    "o": [{"name": "x", "age": 3, "tag": "q"}, {"name": "Y", "age": 1}, {"name": "z", "age": 2, "tag": None}],
}
ATOMS = list(CONTEXT) + ["nope", "1", "2", "0", "3.5", "10", "'a'", "'l'", "'o W'", "\"x y\"", "''", "none", "true",
                         "false", "[1, 2, 3]", "['x', 'y']", "{'a': 1, 'b': [2]}", "(1, 2)", "[]", "{}", "'%s-%s'",
                         "'\\n'", "'é'", "1e3", "-2"]
FILTERS = ["length", "upper", "lower", "trim", "title", "capitalize", "first", "last", "list", "reverse | list", "sort",
           "join", "join(', ')", "join('-', attribute='name')", "tojson", "tojson(indent=2)", "string", "int", "float",
           "abs", "round", "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "default('dflt')", "default('dflt', true)",
           "replace('l', 'L')", "replace('a', '--', 1)", "replace('', '.')", "map('upper') | list",
           "map(attribute='name') | join('+')", "map(attribute='tag', default='none') | list",
           "selectattr('tag') | list", "selectattr('age', 'gt', 1) | map(attribute='name') | list",
           "rejectattr('tag', 'defined') | list", "rejectattr('name', 'equalto', 'x') | list", "select | list",
           "select('number') | list", "select('string') | join('|')", "reject('none') | list", "reject('in', [1, 2]) | list",
           "unique | list", "items | list", "dictsort", "dictsort(by='value')", "dictsort(reverse=true)", "indent",
           "indent(2, true)", "indent(width=1, blank=true)", "sort(reverse=true)", "sort(case_sensitive=true)",
           "sort(attribute='age')", "sort(attribute='name') | map(attribute='name') | list", "sum", "sum(attribute='age')",
           "max", "min", "count", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)",
           "map('string') | list", "map('int', default=9) | list", "batch(2) | list", "batch(2, 0) | list",
           "format(1, 'b')", "wordcount", "int(base=16)", "int(default=-1)", "map(attribute='c.d.1') | list",
           "trim('Hd')", "list | length", "map('length') | list"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean",
         "true", "false", "odd", "even", "upper", "lower", "callable", "equalto(1)", "eq 'a'", "in [1, 'a', 2.5]", "gt 1",
         "lt(3)", "divisibleby 3", "ne none", "in 'Hello a'", "ge 2", "le 2"]
METHODS = [".strip()", ".lstrip()", ".rstrip()", ".split()", ".split(',')", ".split(',', 1)", ".split('l')[-1]", ".split(None, 1)",
           ".rsplit(' ', 1)", ".rsplit(',', 1)", ".splitlines()", ".startswith('H')", ".endswith('d')", ".startswith(('a', 'H'))", ".upper()",
           ".lower()", ".title()", ".capitalize()", ".replace('l', 'L')", ".replace('l', '', 2)", ".find('o')", ".find('o', 5)",
           ".rfind('o')", ".count('l')", ".index('W')", ".isdigit()", ".isalpha()", ".isupper()", ".join(['a', 'b'])", ".join(v)",
           ".items()", ".items() | list", ".keys()", ".keys() | list", ".values() | list", ".get('a')", ".get('zz', 5)", ".get('zz')",
           ".a", ".b", ".c.d[1].e", ".items", "['items']", "['a']", "['zz']", ".zz", ".zz.y", "[0]", "[-1]", "[5]", "[1:]", "[:-1]",
           "[::-1]", "[1:3]", "[-2:]", "[::2]", "[5:1:-2]", "[:2]", "[-100:100]", "[3:0:-1]", ".append(1)", ".index(2)", ".count(1)",
           ".0", ".name", ".pop()", ".strip('H d')", ".lstrip('\\n')", ".removeprefix('He')", ".partition(',')", ".zfill(14)",
           ".center(16, '*')", ".ljust(14) ~ '|'", ".rjust(14, '-')", ".format(1, 2)", ".isspace()", ".isalnum()", ".rpartition('l')",
           ".removesuffix('ld')", ".islower()", "[n]", "[z:n]", "['upper']()", ".update({})", ".__class__", ".splitlines(true)"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in", "~", "+", "=="]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, choices):
        return self.random.choice(choices)

    def expression(self, depth=3):
        kind = self.random.random()
        if depth == 0 or kind < 0.12:
            return self.pick(ATOMS)
        inner = lambda: self.expression(depth - 1)
        if kind < 0.34:
            return f"{inner()} {self.pick(BINARY)} {inner()}"
        if kind < 0.56:
            return f"{self.pick(ATOMS)} | {self.pick(FILTERS)}" if self.random.random() < 0.7 else f"({inner()}) | {self.pick(FILTERS)}"
        if kind < 0.76:
            return self.pick(ATOMS) + self.pick(METHODS)
        if kind < 0.82:
            return f"({inner()}) is {self.pick(['', 'not '])}{self.pick(TESTS)}"
        if kind < 0.87:
            return f"{inner()} if {inner()} else {inner()}" if self.random.random() < 0.8 else f"({inner()} if {inner()})"
        if kind < 0.9:
            return f"not {inner()}"
        if kind < 0.93:
            return f"-{inner()}"
        if kind < 0.96:
            return self.pick(["[{0}, {1}]", "({0}, {1})", "{{'k': {0}, 'j': {1}}}", "{0} < {1} < n", "{0} ** 2", "range({0}) | list",
                              "dict(q={0})", "({0})({1})", "[{0}][{1}]", "{0} == {1} == t", "'%s|%r' % ({0}, {1})",
                              "'%d %5.2f' % ({0}, {1})"]).format(inner(), inner())
        return f"({inner()}){self.pick(METHODS)}"

    def sign(self, plus=True):
        return self.pick(["", "", "-", "+"] if plus else ["", "", "-"])

    def text(self):
        return self.pick(["a", " ", "\n", "  \n", "\n  ", " b ", "\n\n", "\t", "{", "}", "% ", "c\n", "", "#", "\n \n\t"])

    def tag(self, body):
        return "{%" + self.sign() + " " + body + " " + self.sign() + "%}"

    def spaces(self, depth=2):
        """A template of text, tags and signs."""
        out = []
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.random()
            if kind < 0.45:
                out.append(self.text() + self.text())
            elif kind < 0.6:
                out.append("{{" + self.sign() + " " + self.pick(["n", "s", "u"]) + " " + self.sign(False) + "}}")
            elif kind < 0.68:
                out.append("{#" + self.sign() + self.text() + self.sign() + "#}")
            elif kind < 0.74:
                out.append("{%" + self.sign() + " raw " + self.sign(False) + "%}" + self.text() + "{{ n }}" + self.text()
                           + self.tag("endraw"))
            elif kind < 0.8:
                out.append(self.tag("set q = 1"))
            elif depth > 0:
                inner = self.spaces(depth - 1)
                if self.random.random() < 0.5:
                    out.append(self.tag("if " + self.pick(["t", "f"])) + inner + self.tag("else") + self.text() + self.tag("endif"))
                else:
                    out.append(self.tag("for i in " + self.pick(["[1, 2]", "k"])) + inner + self.tag("endfor"))
        return "".join(out)

    def statements(self, depth=2, in_loop=False):
        """A template of nested statements that assign, loop, call and print."""
        out = []
        for _ in range(self.random.randint(1, 3)):
            name, other = self.pick(["q", "r", "n", "s"]), self.pick(["q", "r", "n", "i"])
            e = lambda: self.expression(1)
            inner = lambda loop=in_loop: self.statements(depth - 1, loop) if depth > 0 else "{{ q }}"
            out.append(self.pick([
                lambda: "{{ " + e() + " }};",
                lambda: "{{ " + other + " }},",
                lambda: f"{{% set {name} = {e()} %}}",
                lambda: f"{{% set {name}, {other} = {self.pick(['[1, 2]', '(n, s)', 'l', 'd.items() | first'])} %}}",
                lambda: f"{{% set {name} %}}{inner()}{{% endset %}}",
                lambda: f"{{% set {name} | {self.pick(['upper', 'trim', 'length'])} %}}{inner()}{{% endset %}}",
                lambda: f"{{% if {e()} %}}{inner()}{{% elif {e()} %}}{inner()}{{% else %}}{inner()}{{% endif %}}",
                lambda: f"{{% for i in {self.pick(['l', 'v', 'd', 's', 'k', 'range(4)', 'nope', e()])} %}}{inner(True)}"
                        f"{{{{ {self.pick(['loop.index', 'loop.last', 'loop.length', 'loop.revindex', 'loop.previtem', 'loop.nextitem', 'i', 'loop.first', 'loop.cycle(1, 2)', 'loop.changed(i)', 'loop.depth'])} }}}}"
                        f"{{% else %}}none{{% endfor %}}",
                lambda: f"{{% for i in {self.pick(['l', 'mix', 'o', 'v'])} if {self.pick(['i is string', 'i is odd', 'i.age', 'i != 1', 'not i', 'i is mapping'])} %}}{{{{ i }}}}{inner(True)}{{% endfor %}}",
                lambda: f"{{% for i, j in {self.pick(['d.items()', 'd | dictsort', 'd | items', '[(1, 2), (3, 4)]', 'l'])} %}}{{{{ i }}}}={{{{ j }}}}{{{{ ', ' if not loop.last }}}}{{% endfor %}}",
                lambda: f"{{% set ns = namespace(c=0) %}}{{% for i in l %}}{{% set ns.c = ns.c + i %}}{{% set {name} = ns.c %}}{inner(True)}{{% endfor %}}{{{{ ns.c }}}}{{{{ ns.zz }}}}",
                lambda: f"{{% macro g(a, b={e()}) %}}{{{{ a }}}}/{{{{ b }}}}{inner(False)}{{% endmacro %}}{{{{ g({e()}) }}}}{{{{ g({self.pick(['1, 2', 'b=3', 'a=1, b=q', '*[1, 2]', '**{{}}', '1, 2, 3', 'c=1', ''])}) }}}}",
                lambda: "{% macro h(a) %}<{{ caller(a) if caller else a }}>{% endmacro %}{% call(b) h(" + e() + ") %}{{ b }}{{ q }}{% endcall %}",
                lambda: "{% macro va() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ va(1, 'b', c=2) }}",
                lambda: f"{{% filter {self.pick(['upper', 'trim', 'replace(1, 2)', 'indent'])} %}}{inner()}{{% endfilter %}}",
                lambda: f"{{% with {name} = {e()}, zz = {other} %}}{{{{ {name} }}}}{{{{ zz }}}}{inner()}{{% endwith %}}",
                lambda: "{% generation %}" + inner(False) + "{% set q = 5 %}{% endgeneration %}",
                lambda: "{% for i in o recursive %}{{ i.name }}{% if loop.depth < 3 %}({{ loop(o[:1]) }}){% endif %}{% endfor %}",
                lambda: ("{% if " + e() + " %}{% " + self.pick(["break", "continue"]) + " %}{% endif %}") if in_loop else "",
                lambda: "{{ raise_exception(" + e() + ") }}" if self.random.random() < 0.2 else "-",
                lambda: "{{ strftime_now('%Y-%m-%d %H:%M:%S %j %B %A %y %I %p') }}" if self.random.random() < 0.3 else ".",
            ])())
        return "".join(out)


def outside_subset(source, result):
    """What the C++ side does not claim: addresses, integers beyond 64 bits, very long texts, a comment
    opened by the last characters, and constants that are no text and sliced all the same (Jinja folds
    those to undefined, but fails on such a variable)."""
    if re.search(r"\{#[-+]?$", source) or re.search(r"(?:[\d)}]|none|true|false)\[[-\dnz]*:", source):
        return True
    text = result.get("out", result.get("raised", ""))
    if " at 0x" in text or len(text) > 600 or "Undefined" in text or "LoopContext" in text or "<class" in text:
        return True
    digits = "".join(c if c.isdigit() else " " for c in text).split()
    return any(len(number) > 18 for number in digits)


def random_cases():
    generator, cases, seen = Generator(SEED), [], set()
    makers = ([lambda: "{{ " + generator.expression() + " }}"] * NUM_EXPRESSIONS + [generator.statements] * NUM_STATEMENTS
              + [generator.spaces] * NUM_SPACES)
    for make in makers:
        source = make()
        if source in seen:
            continue
        seen.add(source)
        result = render(source, copy.deepcopy(CONTEXT))  # a filter of Jinja's (indent) can change its input
        # Errors are the common fate of random expressions: keep one in five.
        if outside_subset(source, result) or ("error" in result and generator.random.random() < 0.8):
            continue
        cases.append([source, result.get("out", None), *([result["raised"]] if "raised" in result else [])])
    return {"context": CONTEXT, "cases": cases}


def write(name, data, list_key):
    """JSON with one case a line."""
    cases = data.pop(list_key)
    head = json.dumps(data, ensure_ascii=False)[:-1]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    (HERE / name).write_text(f'{head}, "{list_key}": [\n{lines}\n]}}\n')
    print(name, len(cases), "cases")


if __name__ == "__main__":
    warnings.simplefilter("ignore", SyntaxWarning)
    write("families.json", family_cases(), "cases")
    write("random.json", random_cases(), "cases")
