// Groups that stand apart, in words.

/** How clearly a group stands apart: `gap` is near 1 for two clusters and 0.6 for one that is cut in two. */
export function apartness(gap: number): string {
  if (gap >= 0.85) return "clearly apart";
  return gap >= 0.75 ? "apart" : "slightly apart";
}

const DECIDED: Record<string, string> = { keep: "Kept", remove: "To be removed", unsure: "Unsure" };

/** "Relabelled to boot", "Kept": the decision that all samples share; "3 of 12 decided" where they do not. */
export function decisionOfGroup(
  ids: readonly string[],
  decided: { get: (id: string) => { decision: string; label?: string | null } | undefined },
): string | undefined {
  const said = ids.flatMap((id) => decided.get(id) ?? []);
  if (said.length === 0) return undefined;
  const words = new Set(
    said.map(({ decision, label }) =>
      decision === "relabel" ? `Relabelled to ${label}` : (DECIDED[decision] ?? decision),
    ),
  );
  const [only] = words;
  return said.length === ids.length && words.size === 1 ? only : `${said.length} of ${ids.length} decided`;
}
