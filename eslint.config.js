import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/*.d.ts"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML"].map((property) => ({ property })),
      ],
      "no-restricted-syntax": ["error", { selector: "Property[key.name='dangerouslySetInnerHTML']", message: "Data is never HTML." }],
    },
  },
];
