/** The module that Airflow loads: one component, which is the tab if Airflow passes a task instance, else the page. */

import { h } from "./elements.js";
import { ResultsPage } from "./page.js";
import { TaskTab } from "./tab.js";

/** @param {import("./types").PluginProps} props */
function SeeAny({ dagId, runId, taskId, mapIndex }) {
  if (dagId && runId && taskId) {
    // For a task that is not mapped, Airflow passes -1, an empty text or nothing.
    const index = Number.parseInt(String(mapIndex ?? "-1"), 10);
    return h(TaskTab, { dagId, runId, taskId, mapIndex: Number.isNaN(index) ? -1 : index });
  }
  return h(ResultsPage, {});
}

Reflect.set(globalThis, "SeeAny", SeeAny);
