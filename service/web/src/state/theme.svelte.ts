// Light or dark; as the system has it when nothing was chosen. public/theme.js reads the same before the first paint.

export type Choice = "system" | "light" | "dark";

class Theme {
  choice = $state<Choice>((localStorage.getItem("theme") as Choice | null) ?? "system");

  choose(choice: Choice): void {
    this.choice = choice;
    if (choice === "system") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset["theme"];
    } else {
      localStorage.setItem("theme", choice);
      document.documentElement.dataset["theme"] = choice;
    }
  }
}

export const theme = new Theme();
