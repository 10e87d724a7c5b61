/** The responses of the routes below `api/`, and the props that Airflow passes to a plugin. For the type checker only. */

export interface PluginProps {
  dagId?: string;
  runId?: string;
  taskId?: string;
  mapIndex?: string | number;
}

export type State =
  "waiting" | "created" | "downloading" | "completed" | "failed" | "timed_out" | "retrying" | "skipped";

/** The amount is a decimal number as text: a float would lose digits. */
export interface Money {
  unit: string;
  amount: string;
}

export interface Result {
  dag_id: string;
  run_id: string;
  task_id: string;
  map_index: number;
  state: State;
  at: number | null;
  conn_id: string | null;
  seeany_task_id: string | null;
  cost: Money[];
  video_url: string | null;
  thumbnail_url: string | null;
  first_result: string | null;
  results: number;
  duration: number | null;
  resolution: string | null;
  error_code: string | null;
  error_message: string | null;
  /** Of an error of the provider's own: `words.errors` has words for it. */
  error_kind: string | null;
  error_numbers: Record<string, number>;
  /** Whether `error_message` is the provider's, in English, and not the service's. */
  is_own_message: boolean;
  /** Whether some of the task's files failed; the others are there. */
  is_partial: boolean;
  /** Whether the Airflow task has failed although the result is there. */
  is_task_failed: boolean;
  percent: number | null;
  seconds_left: number | null;
  /** These three in Unix seconds. */
  began: number | null;
  deadline: number | null;
  next_poll_at: number | null;
  total: number | null;
  completed: number | null;
  failed: number | null;
  /** How many of the completed tasks of a batch are partial. */
  partial: number | null;
  /** Where downloads of the same DAG run have stored its files. */
  copy_paths: string[];
}

export interface BatchRow {
  id: string;
  state: "completed" | "failed";
  url: string | null;
  /** The other result files, as far as the batch's result has them. */
  other_urls: string[];
  thumbnail_url: string | null;
  results: number;
  cost: Money | null;
  reason: string | null;
  is_partial: boolean;
}

/** A file, or all files of a SeeAny task, that could not be stored, and why, in English. */
export interface DownloadFailure {
  id: string;
  reason: string;
}

/** What a download has stored so far; the folder, the first paths in it and the first failures only at its end. */
export interface Download {
  files: number;
  total: number | null;
  size: number;
  failed: number;
  folder: string | null;
  paths: string[];
  failures: DownloadFailure[];
  /** Why it ended as a whole, in English. */
  reason: string | null;
}

export interface TaskView {
  is_seeany: boolean;
  task_state: string | null;
  result: Result | null;
  result_urls: string[];
  batch: BatchRow[];
  /** Whether the batch was so large that its result has one file of each task. */
  has_first_files_only: boolean;
  download: Download | null;
}

export interface ResultsResponse {
  waiting: Result[];
  results: Result[];
  /** How many there are in all; one more than can be paged through if there are more. */
  total: number;
}

export interface Group {
  day: string;
  dag_id: string;
  conn_id: string;
  state: State;
  count: number;
  cost: Money[];
}

export interface Summary {
  zone: string;
  groups: Group[];
  /** Those to choose from. */
  connections: string[];
}

export interface Setup {
  has_connection: boolean | null;
}

/** The texts of the UI in one language. */
export type Words = typeof import("./words.js").ENGLISH;
