/** The page without results: how to begin, or how to find what there is. */

import { address, usePoll } from "./api.js";
import { CopyButton } from "./copy_button.js";
import { Chakra, h, InLink, Panel, Quiet } from "./elements.js";

const { Box, Button, Flex, Heading } = Chakra;

/** @typedef {import("./types").Setup} Setup */
/** @typedef {import("./types").Words} Words */

const POLL_SECONDS = 30;

const EXAMPLE = `from airflow.sdk import DAG

from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor

with DAG("seeany_first_result", schedule=None, params={"seeany_task_id": "video-20s"}):
    SeeAnyTaskSensor(task_id="wait", seeany_task_id="{{ params.seeany_task_id }}")
`;

/** @param {{ clear: () => void, words: Words }} props */
export function NoneFound({ clear, words }) {
  return h(
    Panel,
    { py: 8, textAlign: "center" },
    h(Heading, { as: "h3", size: "sm", mb: 3 }, words.emptyFiltered),
    h(Button, { size: "sm", variant: "outline", onClick: clear }, words.clearFilters),
  );
}

/** @param {{ words: Words }} props */
export function Empty({ words }) {
  const setup = usePoll(address("setup", {}), (/** @type {Setup | null} */ data) =>
    data?.has_connection === false ? POLL_SECONDS : null,
  );
  const hasConnection = setup.data?.has_connection ?? null;
  return h(
    Panel,
    { py: 8, textAlign: "center" },
    h(Heading, { as: "h3", size: "sm", mb: 2 }, words.emptyTitle),
    h(Quiet, { mb: 2 }, hasConnection ? words.emptyHow : words.emptyConnect),
    hasConnection === false && h(Box, { mb: 4 }, h(InLink, { to: "/connections" }, words.connections)),
    h(
      Box,
      {
        as: "pre",
        tabIndex: 0,
        focusVisibleRing: "outside",
        display: "inline-block",
        textAlign: "start",
        fontSize: "sm",
        p: 4,
        borderRadius: "md",
        bg: "bg.muted",
        maxW: "100%",
        overflowX: "auto",
      },
      EXAMPLE,
    ),
    h(Flex, { justify: "center", mt: 2 }, h(CopyButton, { name: words.copyDag, text: () => EXAMPLE, words })),
  );
}
