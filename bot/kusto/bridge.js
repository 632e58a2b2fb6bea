// What checker.py asks of Kusto.Language, the service Microsoft's own editors run: each call takes
// plain values and returns one JSON text. Offsets are in UTF-16 units; the caller sends no others.
"use strict";

var casemate = (() => {
  const { KustoCode, GlobalState, Symbols, Syntax, Parsing, Editor, IncludeFunctionKind } = Kusto.Language;
  const { SymbolMatch } = Symbols;
  const Kind = Syntax.SyntaxKind;
  const list = (items) => (items ? Bridge.toArray(items) : []);
  const array = (items, type) => System.Array.init(items, type);

  // More would say nothing new to an author, and each may list every name in scope.
  const MOST_DIAGNOSTICS = 20;
  // Functions of Log Analytics that reach out of the workspace; Kusto itself knows none of them.
  const ELSEWHERE = new Set(["workspace", "app", "resource", "adx", "arg"]);
  // Log Analytics accepts count(column) and todynamic(dynamic); Kusto's signatures do not.
  const LENIENT = new Set(["count", "todynamic"]);

  const FUNCTION = SymbolMatch.Function | SymbolMatch.Local;
  const TABLE = SymbolMatch.Table | SymbolMatch.MaterializedView | SymbolMatch.View | FUNCTION;
  const COLUMN = SymbolMatch.Column | SymbolMatch.Local;
  const OURS = IncludeFunctionKind.DatabaseFunctions | IncludeFunctionKind.LocalFunctions | IncludeFunctionKind.LocalViews;
  const OPERATORS = (
    "as consume count distinct evaluate extend find fork getschema invoke join limit lookup make-series mv-apply " +
    "mv-expand order parse parse-kv parse-where partition project project-away project-keep project-rename " +
    "project-reorder range reduce render sample sample-distinct scan search serialize sort summarize take top " +
    "top-nested union where"
  ).split(" ").map((Name) => ({ Name }));
  // By code, what a name that was not found might have been.
  const MISSED = {
    KS142: (code, at) => code.GetSymbolsInScope(at, COLUMN, IncludeFunctionKind.None),
    KS145: (code, at) => code.GetSymbolsInScope(at, COLUMN, IncludeFunctionKind.None),
    KS204: (code, at) => code.GetSymbolsInScope(at, TABLE, OURS),
    KS205: (code, at) => code.GetSymbolsInScope(at, TABLE, OURS),
    KS211: (code, at) => code.GetSymbolsInScope(at, FUNCTION, IncludeFunctionKind.All),
    KS124: (code) => code.Globals.PlugIns,
    KS176: () => OPERATORS,
    KS196: (code, at) => list(callAt(code, at)?.ReferencedSymbol?.Signatures)[0]?.Parameters,
  };

  const workspaces = new Map();

  // --- learning a workspace

  function column([name, type]) {
    return new Symbols.ColumnSymbol(name, Symbols.ScalarTypes.GetSymbol(type) || Symbols.ScalarTypes.Unknown);
  }

  function table([name, columns, open]) {
    const symbol = new Symbols.TableSymbol.$ctor6(name, array(columns.map(column), Symbols.ColumnSymbol), null);
    return open ? symbol.WithIsOpen(true) : symbol;
  }

  function stored([name, parameters, body]) {
    return new Symbols.FunctionSymbol.$ctor16(name, parameters, body, null);
  }

  function open([name, parameters]) {
    const any = table([name, [["TimeGenerated", "datetime"]], true]);
    return new Symbols.FunctionSymbol.$ctor6(name, any, Symbols.Parameter.ParseList(parameters), null);
  }

  function learn(key, { tables, functions, opens }) {
    const members = [...tables.map(table), ...functions.map(stored), ...opens.map(open)];
    const database = new Symbols.DatabaseSymbol.$ctor1("workspace", array(members, Symbols.Symbol), false);
    workspaces.set(key, GlobalState.Default.WithDatabase(database));
  }

  // --- checking a query

  function lexed(query) {
    const tokens = [];
    let at = 0;
    for (const token of list(Parsing.TokenParser.ParseTokens(query, null))) {
      // All that is not a comment in what precedes a token is white space.
      for (const comment of token.Trivia.matchAll(/\/\/[^\r\n]*/g)) {
        tokens.push(["comment", at + comment.index, comment[0].length]);
      }
      at += token.Trivia.length;
      if (token.Text) tokens.push([kindOf(token), at, token.Text.length]);
      at += token.Text.length;
    }
    return tokens;
  }

  function kindOf(token) {
    if (token.Kind === Kind.StringLiteralToken) return "string";
    if (token.Kind === Kind.DirectiveToken) return "directive";
    if (token.Kind === Kind.BadToken) return "unknown";
    if (token.Kind >= Kind.BooleanLiteralToken && token.Kind <= Kind.RawGuidLiteralToken) return "number";
    return /^[\p{L}_$]/u.test(token.Text) ? "name" : "operator";
  }

  // Where a query reads `workspace("x").Table`: the name, and how far the prefix goes.
  function elsewhere(query, tokens) {
    const found = [];
    const code = tokens.filter(([kind]) => kind !== "comment");
    const text = (at) => (code[at] ? query.substr(code[at][1], code[at][2]) : "");
    for (let at = 0; at < code.length; at++) {
      if (!ELSEWHERE.has(text(at)) || text(at + 1) !== "(") continue;
      const closed = [at + 2, at + 3].find((end) => text(end) === ")" && text(end + 1) === ".");
      if (closed) found.push({ start: code[at][1], length: code[at][2], end: code[closed + 1][1] + 1 });
    }
    return found;
  }

  // The call whose argument is at this offset.
  function callAt(code, at) {
    let node = code.Syntax.GetTokenAt(at);
    while (node && !(node instanceof Syntax.FunctionCallExpression && node.TextStart < at)) node = node.Parent;
    return node;
  }

  function told(code) {
    // What the binder says of the text after a syntax error is that error's echo.
    const broken = Math.min(...list(code.GetSyntaxDiagnostics()).map((each) => each.Start));
    const said = list(code.GetDiagnostics()).filter((each) => /^(Error|Warning)$/.test(each.Severity) && each.Start <= broken);
    return said.slice(0, MOST_DIAGNOSTICS).map((each) => {
      const lenient = each.Code === "KS107" && LENIENT.has(callAt(code, each.Start)?.Name.SimpleName);
      const severity = lenient ? "warning" : each.Severity.toLowerCase();
      const missed = MISSED[each.Code];
      const names = missed ? list(missed(code, each.Start)).map((symbol) => symbol.Name) : [];
      return [each.Code, severity, each.Message, each.Start, each.Length, names];
    });
  }

  function tablesOf(root, globals, found, entered) {
    const note = (symbol) => {
      if (symbol instanceof Symbols.GroupSymbol) list(symbol.Members).forEach(note);
      else if (symbol instanceof Symbols.TableSymbol && globals.IsDatabaseTable(symbol)) found.add(symbol.Name);
    };
    Syntax.SyntaxElement.WalkNodes(root, (node) => {
      note(node.ReferencedSymbol);
      const body = node.GetCalledFunctionBody && node.GetCalledFunctionBody();
      if (!body || entered.has(node.ReferencedSymbol)) return;
      entered.add(node.ReferencedSymbol);
      tablesOf(body, globals, found, entered);
    });
    return [...found].sort();
  }

  function check(key, query) {
    const tokens = lexed(query);
    const prefixes = elsewhere(query, tokens);
    const answer = { tokens, elsewhere: prefixes, kind: KustoCode.GetKind(query), diagnostics: [], tables: [] };
    if (answer.kind === Editor.CodeKinds.Query) {
      const here = prefixes.reduce((text, { start, end }) => text.slice(0, start) + " ".repeat(end - start) + text.slice(end), query);
      const globals = workspaces.get(key);
      const code = KustoCode.ParseAndAnalyze(here, globals);
      answer.diagnostics = told(code);
      answer.tables = tablesOf(code.Syntax, globals, new Set(), new Set());
    }
    return JSON.stringify(answer);
  }

  return { learn, forget: (key) => workspaces.delete(key), check };
})();
