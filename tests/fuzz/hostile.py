"""Values, words and paths that readers stumble over."""

VALUES = (  # as YAML writes them
    *("0", "-1", "-0", "1", "2", "1.5", "1e400", "1e308", "5e-324", ".nan", ".inf", "-.inf", "1e-4", "1e3"),
    *("2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("1" + 30 * "0", "1" + 400 * "0", 5000 * "9", "-" + 30 * "9"),
    *("true", "False", "yes", "null", "~", "010", "0x10", "0o17", "1_000", "1:30", "2020-01-01", "2020-13-45"),
    *("''", "' '", "x", "'" + 5000 * "a" + "'", "é", "😀", "'[bold]x[/bold]'", "'$x$'", "'<b>&'", "'=1+1'", "'|'"),
    *('"\\0"', '"\\e[31m"', '"\\u202e"', '"\\u200b"', '"\\ud800"', '"\\n"', "'\x07'", "'\x1b]0;x'", "'\u202e'"),
    *("[]", "{}", "[[]]", "[null]", "{a: 1}", "{1: 2}", "[1, x, null]", "[1.5, -1]", "[random, random]"),
    *(50 * "[" + 50 * "]", 3000 * "[" + 3000 * "]", 500 * "{a: " + 500 * "}", "[" + 3000 * "1," + "]"),
    *("../../x", "./random", "random", "self", "mcts(simulations=1)", "a:b:c", "run", "nowhere/at/all", "'('", "''''"),
    *("!!python/object/apply:os.system ['touch canary']", "!!binary aGVsbG8=", "!!binary '*'", "!!set {a, b}"),
    *("!!timestamp x", "!!int x", "!x y", "!!float ''", "&a [*a]", "*nowhere", "<<", "{<<: 1}", "{<<: *b}", "? x"),
    *("{[1]: 2}", "{{a: 1}: 2}", "{a: 1, a: 2}", "@", "`", "%", "\t1", "- 1", "[", "}", "'", '"', "1, 2", ": :"),
)

WORDS = (  # of a command line
    *("", " ", "-1", "0", "1", "2", "1e3", "1.5", "nan", "inf", 30 * "9", 5000 * "9", "true", "None", "=", "a=b", ","),
    *(5000 * "a", "é", "😀", "\x1b[31m", "\u202e", "\u200b", "\udcff", "a\nb", "\t", "[bold]", "$x$", "%s", "{}", "\\"),
    *("random", "self", "run", "file", "loop", "../x", "a:b", "a:b:c", "(", "a)(", "--", "-", "'", '"', "/proc/x"),
)

PATHS = (  # of files and folders: `file` is a file, `loop` a link to itself, `run` a run where the case has one
    *("", " ", ".", "new", "a:b", "a=b c", "a,b", "'", '"', "|", "(x)", "x(y=1)", "é", "\u202e", "\u200b", "\udcff"),
    *("a\nb", "\t", "\x1b[31mred", "[bold]x", "$x$", "%s", "~", "-x", "file", "file/x", "loop", "loop/x", "/proc/x"),
    *(
        300 * "a",
        60 * "deep/",
        "run",
        "run/checkpoints",
        "new/../x",
        "random",
        "openspiel:x",
        "x.yaml",
        "x.png",
        "x.svg",
    ),
)

ARGUMENTS = (  # of a reference; none asks for so much work that it would be long
    *("0", "-1", "1", "1.5", "nan", "inf", "-inf", "1e400", 30 * "9", 5000 * "9", "9223372036854775808", "0x10", "010"),
    *("true", "None", "...", "x", "''", "'\\x00'", "'\\ud800'", "'\\q'", 5000 * "a", "[]", "()", "{}", "{1}", "[[1]]"),
    *(300 * "(" + 300 * ")", 5000 * "[" + 5000 * "]", 300 * "-" + "1", "b'x'", "1j", "1+1", "f()", "lambda: 0", "{[]}"),
    *("random", "self", "../x", "run", "a:b(c=d)", "goofspiel(num_cards=4)", "\x1b[31m", "\u202e", "\udcff", "a\nb"),
)

LETTERS = (*"()[]{}'\"|:=,.\\/ -_#*~", "\n", "\t", "\x00", "\x1b", "\u202e", "\u200b", "é", "😀", "\udcff", "0", "a")

JSON = (  # as JSON writes them
    *("0", "-1", "1.5", "1e400", "NaN", "Infinity", "-Infinity", "2147483648", "9223372036854775808", 5000 * "9"),
    *("true", "null", '""', '" "', '"x"', '"\\u0000"', '"\\ud800"', '"\\u202e"', '"\\u001b[31m"', '"[bold]"', '"$x$"'),
    *('"' + 5000 * "a" + '"', "[]", "{}", "[[]]", "[null]", '{"a": 1}', "[1, 2, 3]", 99 * "[" + 99 * "]"),
    *(100_000 * "[", 100_000 * "[" + 100_000 * "]", 5000 * '{"a":' + "1" + 5000 * "}", "x", '"', "{", "1 2"),
    *(
        '"evil:Game()"',
        '"evil:Agent()"',
        '"../../x"',
        '"/etc/passwd"',
        '"gymnasium:evil.X-v0"',
        '"pettingzoo:evil.x_v0"',
    ),
    *('"openspiel:tic_tac_toe | evil:Wrapper()"', '"spread"', '"random"', '"ippo"', '"qmix"', '"."', '"run"', '"loop"'),
)
