"""What the guard refuses, however it is written, and what it must let through."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.query import MAX_QUERY_CHARS, Token, Verdict
from bot.domain.query_guard import guard
from bot.domain.query_lexer import lex

REFUSED = [
    # management commands
    ".show tables",
    ".show cluster | project x",
    ".drop table SigninLogs",
    ".set-or-append T <| SigninLogs",
    ".create-or-alter function f() { T }",
    "  .show tables",
    "\n\n.show tables",
    "// a comment\n.show tables",
    "// one\n// two\n .ingest into table T (h'https://x')",
    ". show tables",
    ".\nshow tables",
    ". // x\nshow tables",
    "SigninLogs; .drop table T",
    "SigninLogs;\n// it's fine\n.drop table T",
    "SigninLogs | take 1\n\n.show tables",
    "SigninLogs\n.show tables",
    "SigninLogs | where x == y\n.purge table T records",
    "let a = 1; .show tables",
    "let f = () { .show tables };",
    ".SHOW tables",
    ".frobnicate",
    ".['show'] tables",
    ". , tables",
    ".",
    # what reads somewhere else
    'externaldata(x:string)["https://evil.example/a"]',
    "externaldata (x:string) [h'https://evil.example/a'] with (format='txt')",
    "externaldata\n(x:string)\n[@'https://evil.example/a']",
    "externaldata // c\n(x:string)['https://x']",
    "ExternalData(x:string)['https://x']",
    "EXTERNALDATA (x:string)['https://x']",
    "external_data(x:string)['https://x']",
    "let d = externaldata(x:string)['https://x']; d",
    "let d = materialize(externaldata(x:string)['https://x']); d",
    "T | where a in ((externaldata(x:string)['https://x']))",
    "T | join kind=inner (externaldata(x:string)['https://x']) on x",
    "union T, (externaldata(x:string)['https://x'])",
    "print toscalar(externaldata(x:string)['https://x'] | take 1)",
    "T | where a in (externaldata hint.x=y (x:string)['https://x'])",
    "['externaldata'](x:string)['https://x']",
    "external_table('blob')",
    "external_table ( 'blob' )",
    "External_Table('blob')",
    "cluster('help').database('Samples').StormEvents",
    "cluster ('help').database('Samples').StormEvents",
    "cluster\n('help')",
    "cluster\t\n  // a comment (\n  ('help')",
    "cluster // don't\n ('help')",
    "Cluster('help')",
    "CLUSTER(@'help')",
    "cluster(h'help')",
    "cluster(```help```)",
    "cluster(strcat('he', 'lp'))",
    "(cluster('help'))",
    "union cluster('a').database('b').T, T",
    "union withsource=s cluster('*').database('*').*",
    "find in (database('*').*) where x == 1",
    "database('other').T",
    "database (\n'other'\n).T",
    "DataBase('other').T",
    "T | lookup (database('other').U) on x",
    "workspace('other').SigninLogs",
    "workspace ('other').SigninLogs",
    "WorkSpace('other').SigninLogs",
    "['workspace']('other').SigninLogs",
    '["workspace"]("other").SigninLogs',
    "[ 'workspace' ] ( 'other' ).SigninLogs",
    "[// c\n'workspace'// c\n]// c\n('other')",
    '[@"workspace"]("other")',
    "[h'workspace']('other')",
    "[```workspace```]('other')",
    r'["work\u0073pace"]("other")',
    r'["\x77orkspace"]("other")',
    r'["\167orkspace"]("other")',
    r"['WORK\U00000053PACE']('other')",
    "[workspace]('other')",
    "['work' 'space']('other')",
    "['' @'workspace'// c\n]('other')",
    "[```work```// c\n\"spa\" h'ce']('other')",
    "app('insights').requests",
    "union app('a').requests, app('b').requests",
    "App ('insights').requests",
    "resource('/subscriptions/x').AzureActivity",
    "adx('https://help.kusto.windows.net/Samples').StormEvents",
    "arg('').Resources",
    "arg ( '' ).Resources | take 1",
    "stored_query_result('x')",
    "let f = (x:string) { workspace(x).T }; f('other')",
    "let f = () { let g = () { app('a').requests }; g() }; f()",
    "T | extend s = 'quote\"' | union (workspace('other').T)",
    'T | extend s = "it\'s" | union (workspace("other").T)',
    r"T | where p == @'C:\' | union (workspace('other').T)",
    r'T | where p == "C:\\" | union (workspace("other").T)',
    "T | where p == '//' | union (workspace('other').T)",
    "T // '\n| union (workspace('other').T) // '",
    "T // ```\n| union (workspace('other').T) // ```",
    "T | where a == ``` // ``` | union (workspace('other').T)",
    "T | where a == ~~~'~~~ | union (workspace('other').T) | where b == ~~~'~~~",
    "T | where a == @'''' | union (workspace('other').T)",
    "T | where a == '' | union (workspace('other').T) | where b == ''",
    # given another name
    "let f = cluster; f('help')",
    "let f = (workspace); f('x')",
    "let f = ((((((((app)))))))); f('x')",
    "let f = ['database']; f('x')",
    "let ['f'] = Resource",
    "let f = // c\n arg // c\n; f('')",
    "let d = externaldata; d(x:string)['https://x']",
    "alias database other = cluster('help').database('Samples'); T",
    "alias database other = x; other.T",
    # groups of clusters
    "macro-expand entity_group [cluster('a').database('b')] as X (X.T)",
    "macro-expand G as X (X.T)",
    "Macro-Expand G as X (X.T)",
    "let g = entity_group ['a', 'b']; T",
    "entity_group [x.y]",
    # plug-ins that call out, run code, or are unknown
    "evaluate http_request('https://evil.example')",
    "evaluate http_request_post('https://evil.example')",
    "evaluate // c\n http_request // c\n ('https://evil.example')",
    "Evaluate HTTP_Request('https://evil.example')",
    "evaluate ['http_request']('https://evil.example')",
    "evaluate (http_request)('https://evil.example')",
    "T | evaluate ['py' 'thon'](typeof(*), '')",
    "T | evaluate ['pivot' 'x'](a)",
    "T | evaluate python(typeof(*), 'result = df')",
    "T | evaluate hint.distribution=per_node python(typeof(*), 'result = df')",
    "T | evaluate hint.distribution = per_node hint.pass_filters = true python(typeof(*), '')",
    "T | evaluate hint.distribution=pivot python(typeof(*), '')",
    "T | evaluate pivot python(typeof(*), '')",
    "T | evaluate " + "hint.a=b " * 7 + "pivot python(typeof(*), '')",
    "T | evaluate " + "hint.a=b " * 8 + "pivot(x)",
    "T | evaluate r(typeof(*), 'x')",
    "T | evaluate R(typeof(*), 'x')",
    "evaluate sql_request('Server=x', 'select 1')",
    "evaluate mysql_request('Server=x', 'select 1')",
    "evaluate postgresql_request('Server=x', 'select 1')",
    "evaluate cosmosdb_sql_request('AccountEndpoint=x', 'select 1')",
    "evaluate azure_digital_twins_query_request('https://x', 'select 1')",
    "T | evaluate ai_embed_text(x, 'https://x')",
    "T | evaluate ai_chat_completion(x, 'https://x')",
    "T | evaluate ai_chat_completion_prompt(x, 'https://x')",
    "evaluate infer_storage_schema(dynamic({}))",
    "evaluate schema_merge(T)",
    "T | evaluate some_plugin_of_tomorrow(x)",
    "T | evaluate bag_unpack(d) | evaluate http_request('https://x')",
    "evaluate hint",
    # limits lifted
    "set notruncation; T",
    "SET NoTruncation; T",
    "set truncationmaxsize=1000000000; T",
    "set truncationmaxrecords = 100; T",
    "set servertimeout = 1h; T",
    "set norequesttimeout; T",
    "set query_datascope='all'; T",
    "set best_effort=true; T",
    "set ['notruncation']; T",
    "set // c\nnotruncation; T",
    "// c\nset notruncation;\nT",
    "let a = 1; set notruncation; T",
    "let f = () { set notruncation; T }; f()",
    # for other tools
    "#connect cluster('help')\nT",
    "#crp notruncation\nT",
    "T\n# cluster",
    # what cannot be read for certain
    "",
    "  \n",
    "// only a comment",
    "T | where a == 'open",
    "T | where a == 'open\n| union cluster('x').database('y').T // '",
    'T | where a == "open | take 1',
    "T | where a == @'open''",
    "T | where a == ```open``",
    r'T | where a matches regex "\d+"',
    r'T | where p == "C:\Windows" | where q == ""',
    "print datetime(\") | union (externaldata(x:string)[h\"https://x\"])",
    "print datetime(') | union (cluster('x').database('y').T) //')",
    "print int(//)\n) | union (app('x').requests)",
    "print guid(cluster('x'))",
    "T | where a ` b",
    "T | where a == \\",
    # what cannot be seen
    "T | where a == 1\0",
    "T | where\u200b a == 1",
    "T\ufeff | take 1",
    "T // \u202e reversed",
    "T | take 1 // \u2066 hidden",
    "T // c\u2028| take 1",
    "T // c\u2029| take 1",
    "T // c\u0085| take 1",
    "T // c\r| take 1",
    "T\x0b| take 1",
    "T\x0c| take 1",
    "T | where\u00ad a == 1",
    "T | extend \ud800",
    "\u180eT",
    "work\u200bspace('x')",
]  # fmt: skip


@pytest.mark.parametrize("query", REFUSED)
def test_refused(query):
    assert guard(query).refused, query


ALLOWED = [
    # ordinary queries
    "SigninLogs",
    "SigninLogs | where TimeGenerated > ago(1d) | take 10",
    "SigninLogs\n| where TimeGenerated > ago(1d)\n| summarize count() by UserPrincipalName;",
    "let start = ago(7d);\nlet users = dynamic(['a', 'b']);\nT | where TimeGenerated > start",
    "let f = (x:string, y:datetime) { T | where a == x and t > y }; f('a', now())",
    "T | join kind=leftouter (U | project a, b) on $left.a == $right.a",
    "T | extend h = tostring(parse_json(Props).host.name), d = Props['a b'].c[0].d",
    "T | mv-expand x = todynamic(y) to typeof(string) | make-series n = count() on t step 1h",
    "T | where a in~ ('x', 'y') and b !in ('z') and c !~ 'd' and e matches regex @'\\d+\\.exe$'",
    "T | where t between (datetime(2024-01-01) .. datetime(2024-01-31T23:59:59Z))",
    "T | where t between (ago(2d)..1d)",
    "T | parse Msg with * 'user=' User ' ' * | project-away Msg",
    "T | top 5 by x desc | project-rename a = b | sort by a asc | render timechart",
    "T | fork (take 1) (count)",
    "T | partition by x (top 1 by y)",
    "T | invoke f()",
    "T | as X | union U",
    "print x = 1, y = 0.5, z = 1e5",
    "print strcat('a', \"b\", @'c', h'd', ```e```)",
    "print now()",
    "range x from 1 to 10 step 1",
    "datatable(a:string, t:datetime)['x', datetime(2024-01-01)]",
    "union isfuzzy=true T, U, (V | where x == 1)",
    "union Device*",
    "find in (T, U) where x == 'y'",
    "search in (T) 'mimikatz'",
    "_GetWatchlist('vips') | project SearchKey",
    "_Im_Dns(starttime=ago(1d)) | take 5",
    "table('SigninLogs') | take 1",
    "materialized_view('Daily') | take 1",
    "declare query_parameters(a:string = 'x'); T | where b == a",
    "restrict access to (T); T",
    "T | where g == guid(74be27de-1e4e-49d9-b579-fe0b331d3642) and n == int(5) and b == bool(true)",
    "T | where p has @'C:\\Windows\\'",
    'T | where p == "C:\\\\Windows\\\\"',
    "T\r\n| where a == 1\r\n| take 1\r\n",
    "T\u00a0| take\u20091",
    "T | where name == 'Zoë 日本語 😀' // größer",
    # plug-ins that only compute
    "T | evaluate bag_unpack(d)",
    "T | evaluate bag_unpack (d, 'p_') : (*, p_a:string)",
    "T | evaluate\n  pivot(x, count())",
    "T | evaluate hint.distribution=per_node autocluster()",
    "T | evaluate hint.distribution = per_node hint.pass_filters=true basket(0.1)",
    "T | evaluate narrow()",
    "T | evaluate diffpatterns(a, 'x', 'y')",
    "T | evaluate dcount_intersect(a, b)",
    "T | evaluate ipv4_lookup(Net, ip, network)",
    "T | evaluate active_users_count(u, t, ago(7d), now(), 1d, 1d, 2, 7d)",
    "T | evaluate session_count(u, t, ago(1d), now(), 1h, 30m)",
    "T | evaluate sliding_window_counts(u, t, ago(7d), now(), 3d, 1d)",
    "T | evaluate rows_near(x, 1h)",
    "T | evaluate ['pivot'](x)",
    # columns, tables and properties of those names
    "AppRequests | take 1",
    "T | project app, resource, cluster, database, workspace, arg, adx",
    "AKSAudit | where cluster == 'prod' and database in ('a', 'b')",
    "T | summarize count() by resource, app | where app has 'x'",
    "T | extend resource = tostring(x), app = y, cluster = strcat(a, b)",
    "T | where Resource contains 'x' and Workspace !in ('a') and ['cluster'] == 'b'",
    "T | project ['app'], ['database'] = x, y['cluster'], z.workspace, [\"resource\"]",
    "T | where x['externaldata'] == 'y' and p.entity_group == 1 and p.evaluate == 2",
    "T | project ['set'], ['alias'], ['externaldata'], evaluate, ['search'], show, drop",
    "T | extend ['set'] = 1, evaluate = 2 | where ['set'] > evaluate",
    "T | where cluster and (database == 'x') or (app) == 'y'",
    "T | distinct app\n| join (U) on app",
    "T | summarize arg_max(TimeGenerated, *), make_set(app) by database",
    "T | where app_s == 'x' and clusters(1) and my_app('x') and appx('y')",
    "let cluster = 'prod'; T | where c == cluster",
    "let app = T | project app; app",
    "let apps = dynamic(['app']); T | where a in (apps)",
    "let clusters = T | project cluster; clusters",
    "T | extend v = parse_json(x)\n    .field.show | project v['set']",
    "T | extend a = b .c",
    "T | extend macro = 1, expand = 2 | project macro - 1",
    # strings and comments that only mention such things
    "T | where a == 'externaldata(x:string)[\"https://evil\"]'",
    "T | where a == \"cluster('help').database('x')\"",
    "T | where a has @'workspace(\"x\")' and b has @\"app('y')\"",
    "T | where a has ```.show tables; set notruncation; cluster('x')```",
    "T | where a has ~~~evaluate http_request('x')~~~",
    "T | where h == h'externaldata(' and g == H\"cluster(\" and f == h@'app('",
    "T | where a == 'it\\'s cluster(\"x\")'",
    'T | where a == "say \\"cluster(\'x\')\\""',
    "T | where a == @'it''s cluster(\"x\")'",
    "T | where a == 'x' // cluster('x') and externaldata(x:string)",
    "// .show tables\nT",
    "// set notruncation;\n// evaluate python('x')\nT | take 1 // workspace('x').T",
    "T // it's \"fine\" ``` ~~~ cluster('x')\n| take 1",
    "T | where a == '// no comment' and b == 'x'",
    "T | where url startswith 'https://app('",
    "T | where a == ';.show tables'",
    "T | where a == '\\n.show tables'",
    "T | where a == '#connect'",
    "T | where a in ('cluster', '(', 'x')",
    "T | where a == 'cluster' and (b)",
    "T | where a == '\u202ehidden\u200b' and b == '\u2028'",
    'print dynamic([\'cluster\']), dynamic({"workspace": ["app"]})',
    "T | extend a = b['cluster'], c = d[\"app\"].e",
]


@pytest.mark.parametrize("query", ALLOWED)
def test_allowed(query):
    assert guard(query).refused == (), query


ELSEWHERE = "a query may only read this workspace."
SENTENCES = [
    ("workspace('x').T", f"`workspace()` reads another workspace; {ELSEWHERE}"),
    ("entity_group [x.y]", f"`entity_group` reads other clusters and databases; {ELSEWHERE}"),
    ("set a; T", "`set` changes the limits that a query runs under; they are set for it."),
    ("evaluate R('')", "`evaluate r` is not one of the plug-ins that only compute on rows."),
    (".show tables", "`.show` would be a management command; a query may only read."),
    ("let f = cluster; T", "`cluster` may not be given another name."),
    ("T | where a ^ b", "From `^` on the query cannot be read for certain: look for a quote or "
     'bracket that is not closed, or write @"..." around backslashes.'),
    ("T // \u202e", "The query holds characters that cannot be seen, outside its strings."),
    ("#x\nT", "A line with # steers another tool."),
    ("x" * (MAX_QUERY_CHARS + 1), "The query is longer than 10,000 characters."),
    ("// x", "There is no query here."),
]  # fmt: skip


@pytest.mark.parametrize(("query", "sentence"), SENTENCES)
def test_the_reason_is_a_sentence(query, sentence):
    assert guard(query).refused == (sentence,)


@pytest.mark.parametrize(
    "query",
    ["T | where a == '[x](https://evil.example)", "evaluate ['[x](https://evil.example)`']()",
     "T | where a == '`\u202e<b>\n", ".['[x](https://evil.example)`'] tables"],
)  # fmt: skip
def test_what_a_reason_quotes_is_harmless(query):
    for reason in guard(query).refused:
        assert reason.count("`") in (0, 2)
        assert "](" not in reason
        assert "://" not in reason
        assert "<" not in reason
        assert reason.isprintable()


def test_every_reason_is_given_once_and_in_order():
    verdict = guard("set a; union workspace('x').T, workspace('y').T, app('z').requests")

    assert [reason.split("`")[1] for reason in verdict.refused] == ["set", "workspace()", "app()"]


def test_the_longest_query_is_read():
    query = "T | where a == 1 " + "//" + "x" * MAX_QUERY_CHARS

    assert guard(query[:MAX_QUERY_CHARS]).refused == ()


# The language service's tokens and ours count together: either may refuse.


def test_what_only_the_language_service_sees_is_refused():
    theirs = (Token("name", "cluster", 0), Token("operator", "(", 7), Token("operator", ")", 8))

    assert guard("SigninLogs", theirs).refused
    assert guard("SigninLogs", ()).refused == ()


def test_what_the_language_service_does_not_see_is_still_refused():
    assert guard("cluster('x').database('y').T", (Token("name", "T", 0),)).refused


def test_the_same_reason_from_both_is_given_once():
    query = "cluster('x')"

    assert guard(query, lex(query)) == guard(query)


@pytest.mark.parametrize("query", ALLOWED)
def test_our_own_tokens_given_back_change_nothing(query):
    assert guard(query, lex(query)) == guard(query)


WARNED = [
    ("search 'x'", "`search`"),
    ("T | search 'x'", "`search`"),
    ("search in (T) 'x'", "`search`"),
    ("let a = find where x == 1; a", "`find`"),
    ("union * | where TimeGenerated > ago(1d)", "`union *`"),
    ("union withsource=s * | where TimeGenerated > ago(1d)", "`union *`"),
    ("T | union isfuzzy=true U, * | where TimeGenerated > ago(1d)", "`union *`"),
    ("T", "no time filter"),
    ("T | summarize count() by bin(TimeGenerated, 1h)", "no time filter"),
    ("T | where a == 1 | extend t = TimeGenerated", "no time filter"),
    ("T | where a in (U | where b == 1) | project TimeGenerated", "no time filter"),
    ("T; U", "more than one table"),
    ("T | fork (take 1) (count)", "more than one table"),
    ("T | facet by x", "more than one table"),
]


@pytest.mark.parametrize(("query", "part"), WARNED)
def test_warned(query, part):
    verdict = guard(query)

    assert verdict.refused == ()
    assert any(part in warning for warning in verdict.warnings)


@pytest.mark.parametrize(
    "query",
    [
        "T | where TimeGenerated > ago(1d)",
        "T | where a == 1 and Timestamp between (ago(2d) .. ago(1d))",
        "let x = 1; T | filter (CreationTime >= x) | take 1",
        "T | where CreatedOn > datetime(2024-01-01)",
        "T | where a in (U | where b == 1) and EventTime_t > x",
        "T | join (U | where TimeGenerated > ago(1d)) on x",
        "_Im_Dns(starttime=ago(1d))",
        "union Device* | where Timestamp > ago(1d)",
        "union (T | where TimeGenerated > ago(1d)), U | extend x = a * b",
        "print 1",
        "range x from 1 to 3 step 1",
        "datatable(a:int)[1, 2]",
        "_GetWatchlist('vips')",
        "let a = 1; print a",
        "T | where TimeGenerated > ago(1d) | project search, find | summarize count() by find",
    ],
)
def test_not_warned(query):
    assert guard(query) == Verdict()


# However a refused core is dressed, it stays refused; an allowed one stays allowed.

REFUSED_CORES = [
    ["externaldata", "(", "x", ":", "string", ")", "[", "'https://x'", "]"],
    ["cluster", "(", "'x'", ")", ".", "database", "(", "'y'", ")", ".", "T"],
    ["database", "(", "\"y\"", ")", ".", "T"],
    ["workspace", "(", "@'y'", ")", ".", "T"],
    ["[", "'workspace'", "]", "(", "'y'", ")", ".", "T"],
    ["app", "(", "h'y'", ")", ".", "requests"],
    ["resource", "(", "```y```", ")", ".", "T"],
    ["arg", "(", "''", ")", ".", "Resources"],
    ["external_table", "(", "'y'", ")"],
    ["T", "|", "evaluate", "http_request", "(", "'https://x'", ")"],
    ["T", "|", "evaluate", "hint", ".", "x", "=", "y", "python", "(", "'x'", ")"],
    ["T", "|", "where", "a", "in", "(", "app", "(", "'x'", ")", ".", "requests", ")"],
]  # fmt: skip
ALLOWED_CORES = [
    ["T", "|", "where", "app", "==", "'cluster('", "and", "resource", "in", "(", "'x'", ")"],
    ["T", "|", "project", "cluster", ",", "database", "|", "take", "5"],
    ["T", "|", "evaluate", "bag_unpack", "(", "d", ")"],
    ["T", "|", "where", "u", "has", "@\"externaldata(\"\"\"", "|", "summarize", "n", "=", "count",
     "(", ")", "by", "app"],
    ["T", "|", "extend", "x", "=", "p", "[", "'workspace'", "]", "|", "project", "x"],
    ["print", "s", "=", "```.show tables; set notruncation```"],
]  # fmt: skip
GAPS = st.sampled_from(
    [" ", "\n", "\r\n", "\t", "  \n ", " // note\n", " // it's \"odd\" ``` ~~~ /* \n", "\u00a0",
     " // .show cluster('x') externaldata(\n", " //\n//\n"]
)  # fmt: skip
WRAPS = st.sampled_from(
    [
        "{}",
        "({})",
        "let f = () {{ {} }}; f()",
        "let t = materialize({}); t | take 1",
        "let a = 'x;\"'; {}",
        'union (T | where a == "it\'s"), ({})',
        "T | join kind=inner ({}) on x",
        "T | where x == @'C:\\' | union ({}) | where y == '//'",
        "print s = '\"' | union ({}) | extend t = \"'\"",
        "// it's\n{} // it's\n",
        "let f = (x:string) {{ let g = () {{ {} }}; g() }}; f(```\n'\n```)",
    ]
)


def dressed(core: list[str], gaps: list[str], wraps: list[str]) -> str:
    query = "".join(chain.from_iterable(zip(core, gaps, strict=False)))
    for wrap in wraps:
        query = wrap.format(query)
    return query


LONG = max(map(len, [*REFUSED_CORES, *ALLOWED_CORES]))
MANY_GAPS = st.lists(GAPS, min_size=LONG, max_size=LONG)
FEW_WRAPS = st.lists(WRAPS, max_size=3)


@given(st.sampled_from(REFUSED_CORES), MANY_GAPS, FEW_WRAPS, st.randoms())
def test_a_refused_core_stays_refused(core, gaps, wraps, chance):
    odd = ["".join(map(chance.choice, zip(word.lower(), word.upper(), strict=True)))
           if word.isidentifier() else word for word in core]  # fmt: skip

    assert guard(dressed(core, gaps, wraps)).refused
    assert guard(dressed(odd, gaps, wraps)).refused


@given(st.sampled_from(ALLOWED_CORES), MANY_GAPS, FEW_WRAPS)
def test_an_allowed_core_stays_allowed(core, gaps, wraps):
    assert guard(dressed(core, gaps, wraps)).refused == ()


@given(st.text() | st.text("cluster(').\"@;|`~/\n[]{}", max_size=60))
def test_any_text_gets_a_verdict(query):
    assert isinstance(guard(query), Verdict)


PIECES = st.sampled_from(
    ["evaluate", "hint", ".", "=", "(", ")", "[", "]", "'x'", "let", "set", "macro", "-", ";", "|",
     "{", "}", "*", "union", "where", "search", "#x\n", "datetime(", ",", "1d", "app", "\n"]
)  # fmt: skip


@given(st.lists(PIECES).map(" ".join))
def test_any_order_of_words_gets_a_verdict(query):
    assert guard(query, lex(query)) == guard(query)
