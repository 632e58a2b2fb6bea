// Says what Microsoft's validator finds wrong with a Teams manifest and its strings, one line each.
// The schemas come with its package: nothing is fetched.
// Use: node validate.cjs FOLDER, which holds manifest.json and the files it names.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { AppManifestUtils } = require("@microsoft/app-manifest");

const text = (...path) => readFileSync(join(...path), "utf8");
// A bracket that JavaScript's unicode expressions refuse unescaped stands in the strings' schema.
const schemaIn = (...path) => JSON.parse(text(...path).replaceAll("\\\\b]", "\\\\b\\\\]"));

async function main(folder) {
  const manifest = JSON.parse(text(folder, "manifest.json"));
  const version = `v${manifest.manifestVersion}`;
  const schemas = join(__dirname, "node_modules/@microsoft/app-manifest/build/json-schemas/teams");
  const languages = manifest.localizationInfo.additionalLanguages.map((each) => each.file);
  for (const [file, schema] of [
    ["manifest.json", "MicrosoftTeams.schema.json"],
    ...languages.map((each) => [each, "MicrosoftTeams.Localization.schema.json"]),
  ]) {
    const wrong = await AppManifestUtils.validateAgainstSchema(
      JSON.parse(text(folder, file)),
      schemaIn(schemas, version, schema),
    );
    for (const each of wrong) console.log(`${file}: ${each}`);
  }
}

main(process.argv[2]);
