// What was written into a labelling tool and read from there, in people's words.

import type { components } from "$/api/schema";
import { counted } from "./numbers";

type Schemas = components["schemas"];
type Mode = Schemas["PushRequest"]["mode"];

export const MODES: Record<Mode, { title: string; what: string }> = {
  tab: {
    title: "A sorted tab",
    what: "Every task gets its suspicion and the suggested class, and a tab shows the most suspicious first.",
  },
  review_project: {
    title: "A project to review",
    what: "The suspects also go into a project of their own, with the suggestion to be accepted or changed.",
  },
  requeue: {
    title: "Back into the queue",
    what: "The annotations of the suspects become drafts, so that annotators get these tasks again.",
  },
  predictions: {
    title: "Suggestions only",
    what: "Every task gets its suspicion and the suggested class, and nothing else changes.",
  },
};

/** What a push did, or would do. */
export function pushed(told: Schemas["PushResult"]): string[] {
  const where = { review_project: "in the project to review", requeue: "back in the queue" };
  const mode = told.mode;
  const suspects =
    mode === "review_project" || mode === "requeue" ? `, ${counted(told.suspects, "suspect")} ${where[mode]}` : "";
  return [
    `${told.dry_run ? "This would be sent" : "Sent"}: ${counted(told.predictions, "suggestion")}${suspects}.`,
    ...(told.written === 0 && told.predictions > 0
      ? [told.dry_run ? "The suggestions are there already." : "The suggestions were there already."]
      : []),
    ...(told.missing ? [`${counted(told.missing, "task")} left out, no longer in the project.`] : []),
    ...(told.unwritable
      ? [`${counted(told.unwritable, "task")} left out, as the project no longer has the suggested class.`]
      : []),
  ];
}

/** What became of the tasks that were sent back into the queue. */
export function undone({ restored, kept }: Schemas["UndoResult"]): string {
  if (restored === 0 && kept === 0) return "Nothing of this job is back in the queue.";
  const [are, them] = kept === 1 ? ["it is", "it"] : ["they are", "them"];
  const left = kept ? ` ${counted(kept, "task")} left as ${are}, because somebody has worked on ${them} since.` : "";
  return `${counted(restored, "task")} taken out of the queue again.${left}`;
}
