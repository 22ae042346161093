import svelte from "eslint-plugin-svelte";
import globals from "globals";
import typescript from "typescript-eslint";

// Doors: a view imports no other view, a component knows no API, words know neither.
const door = (files, ...patterns) => ({
  files,
  rules: { "no-restricted-imports": ["error", { patterns: patterns.map((group) => ({ group: [group] })) }] },
});
const views = ["home", "job", "review", "understand", "sample", "groups", "queue", "audit", "compare"];

export default typescript.config(
  { ignores: ["built", "documentation", "src/api/schema.d.ts"] },
  ...typescript.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: globals.browser } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: typescript.parser, extraFileExtensions: [".svelte"] } },
  },
  {
    rules: {
      eqeqeq: "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
    },
  },
  // A class of the state chooses itself which of its fields are drawn.
  { files: ["src/state/**"], rules: { "svelte/prefer-svelte-reactivity": "off" } },
  ...views.map((view) =>
    door([`src/views/${view}/**`], ...views.filter((other) => other !== view).map((other) => `$/views/${other}/**`)),
  ),
  door(["src/components/**"], "$/api/**", "$/views/**"),
  door(["src/words/**"], "$/api/client*", "$/views/**", "$/components/**"),
);
