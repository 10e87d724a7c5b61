/** The module that Airflow loads: one component, the tab where it is given a task instance, else the page. */

import { h } from "./elements.js";
import { ResultsPage } from "./page.js";
import { TaskTab } from "./tab.js";

/** @param {import("./types").PluginProps} props */
function SeeAny({ dagId, runId, taskId, mapIndex }) {
  if (dagId && runId && taskId) {
    // Airflow names the instance of a task that is not mapped in more than one way.
    const index = Number.parseInt(String(mapIndex ?? "-1"), 10);
    return h(TaskTab, { dagId, runId, taskId, mapIndex: Number.isNaN(index) ? -1 : index });
  }
  return h(ResultsPage, {});
}

Reflect.set(globalThis, "SeeAny", SeeAny);
