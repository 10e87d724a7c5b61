/** Every text of the UI in English and Chinese, and the choice between them by the language of Airflow's UI. */

import { useSyncExternalStore } from "./elements.js";

/** @type {Record<string, string>} */
const SPEND_RANGES = {
  1: "last 24 hours",
  7: "last 7 days",
  30: "last 30 days",
  90: "last 90 days",
  366: "last year",
};

export const ENGLISH = {
  title: "SeeAny results",
  intro: "Results and cost of the SeeAny tasks that your DAGs waited for. Not your account's bill.",
  states: {
    waiting: "Waiting",
    created: "Created",
    downloading: "Downloading",
    completed: "Completed",
    failed: "Failed",
    timed_out: "Timed out",
    retrying: "Retrying",
    skipped: "Skipped",
  },
  dag: "DAG",
  connection: "Connection",
  state: "State",
  time: "Time",
  all: "All",
  ranges: /** @type {Record<string, string>} */ ({
    1: "Last 24 hours",
    7: "Last 7 days",
    30: "Last 30 days",
    90: "Last 90 days",
    366: "Last year",
  }),
  gallery: "Gallery",
  table: "Table",
  view: "View",
  spendPerDay: "Spend per day",
  spendPerDag: "Spend per DAG",
  andMore: (/** @type {string} */ count) => `and ${count} more`,
  results: "Results",
  task: "Task",
  result: "Result",
  cost: "Cost",
  finishedAt: "Finished at",
  waitEndedAt: "Wait ended at",
  endedAt: "Ended at",
  createdAt: "Created at",
  createdOnly: "This task created it, and does not wait for it.",
  lastUpdate: "Last update",
  waitingFor: "Waiting for",
  givesUpAt: "Gives up at",
  nextPoll: "Next poll",
  inSeconds: (/** @type {number} */ seconds) => (seconds < 1 ? "due" : `in ${Math.ceil(seconds)} s`),
  /** A name before a value. */
  named: (/** @type {string} */ name, /** @type {string} */ value) => `${name}: ${value}`,
  day: "Day",
  seeanyTask: "SeeAny task",
  duration: "Duration",
  resolution: "Resolution",
  seconds: (/** @type {string} */ seconds) => `${seconds} s`,
  video: "Video",
  files: (/** @type {number} */ count) => `${count} ${count === 1 ? "file" : "files"}`,
  filesOf: (/** @type {string} */ count, /** @type {string} */ total) => `${count} of ${total} files`,
  copies: "Copies",
  size: "Size",
  folder: "Folder",
  downloadFailed: "The download failed",
  /** Each empty for none. */
  downloadFailures: (/** @type {string} */ stored, /** @type {string} */ failed) =>
    `${stored && `Files stored: ${stored}, which a retry keeps. `}${failed && `Failed: ${failed}.`}`,
  reasons: "Reasons",
  seeLog: "See the log.",
  image: (/** @type {number} */ number) => `Image ${number}`,
  copyUrl: (/** @type {string} */ count) => (count === "1" ? "Copy URL" : `Copy all ${count} URLs`),
  copyId: "Copy id",
  downloadAll: "Download all",
  downloadMany: (/** @type {string} */ count) =>
    `This saves ${count} files, one after the other. Your browser may ask whether this page may save several files. ` +
    "For very many or large files, copy the URLs into a download manager instead.",
  downloadFiles: (/** @type {string} */ count) => `Download ${count} files`,
  downloadedOf: (/** @type {string} */ count, /** @type {string} */ total) => `Downloading ${count} of ${total} …`,
  downloadEnded: (/** @type {string} */ count, /** @type {string} */ total) => `${count} of ${total} files downloaded.`,
  downloadCancelled: (/** @type {string} */ count, /** @type {string} */ total) =>
    `Cancelled after ${count} of ${total} files.`,
  cancel: "Cancel",
  onlyListed: (/** @type {number} */ count, /** @type {boolean} */ isRefused) => {
    const files = count === 1 ? "1 file" : `${count} files`;
    const why = isRefused
      ? `This page's Content-Security-Policy allows no download of ${files} (connect-src). `
      : `The site of ${files} allows no download from here. `;
    return `${why}urls.txt has the URLs, for a download manager.`;
  },
  dagResults: "Results of this DAG",
  copied: "Copied",
  notCopied: "Not copied",
  openOriginal: "Open original",
  cannotEmbed: "Cannot be shown here.",
  refused: (/** @type {string} */ directive) => `Blocked by this page's Content-Security-Policy (${directive}).`,
  allowHost: (/** @type {string} */ host, /** @type {string} */ directive) =>
    `To show it here, whoever sets that policy has to add ${host} to ${directive}.`,
  progress: "Progress",
  left: (/** @type {number} */ seconds) => {
    if (seconds < 100) return `about ${Math.round(seconds)} s left`;
    return seconds < 6000 ? `about ${Math.round(seconds / 60)} min left` : `about ${Math.round(seconds / 3600)} h left`;
  },
  noProgress: "Nothing is known of the progress yet.",
  notStarted: "The wait has not started yet.",
  notSeeAny: "This task does not wait for SeeAny.",
  noRecord: "This wait ended without a record to show. See the log.",
  retryingNoRecord: "This try ended without a record. Airflow tries again; see the log.",
  notRun: "This task did not wait: it did not run.",
  failedWith: "SeeAny's error",
  failedAs: { failed: "The wait failed", timed_out: "The wait timed out" },
  willRetry: "Airflow will try this wait again.",
  wasSkipped: "Airflow skipped this task instead of failing it.",
  taskFailedMark: "Task failed",
  taskFailed: "The result is there, but the Airflow task failed afterwards. Its log has the reason.",
  textOfLog: "Text in the log",
  /** By the kind of the provider's exception: what happened, given its numbers. */
  errors: /** @type {Record<string, (numbers: Record<string, number>) => string>} */ ({
    timed_out: ({ seconds, left, total }) =>
      left === undefined
        ? `The wait timed out after ${seconds} s`
        : `The wait timed out after ${seconds} s; ${left} of ${total} tasks had not ended`,
    timed_out_unclear: ({ seconds }) => `The wait timed out after ${seconds} s, but the task may have ended`,
    batch_failed: ({ failed, total }) => `${failed} of ${total} SeeAny tasks failed`,
    bad_config: () => "The connection or a parameter cannot be used",
    no_connection: () => "Airflow did not find the connection",
    bad_id: () => "This cannot be the id of a SeeAny task",
    not_ready: () => "The SeeAny task has not ended yet",
    request_failed: ({ http_status: status }) =>
      status === undefined ? "SeeAny did not respond" : `The request failed with HTTP ${status}`,
    request_refused: ({ http_status: status }) => `SeeAny refused the request with HTTP ${status}`,
    key_refused: ({ http_status: status }) => `SeeAny refused the API key with HTTP ${status}`,
    not_found: () => "SeeAny does not know this task",
    invalid_response: () => "The response was invalid",
    not_created: () => "No SeeAny task was created",
    budget_exceeded: () => "The budget does not allow another SeeAny task",
    budget_unknown: () => "What was spent is not known, so no SeeAny task was created",
    submission_unknown: () => "Nobody can tell whether a SeeAny task was created",
    broke_off: () => "The wait broke off",
  }),
  /** By the same kind: what to do, where the text in the log says no more. */
  advice: /** @type {Record<string, string>} */ ({
    timed_out: "SeeAny may still finish it, and charge for it. To wait longer, raise timeout and clear the task.",
    timed_out_unclear: "It may have been charged: look at it on the platform before you create it again.",
    batch_failed: "The table has each of them with its reason.",
    key_refused: "Check the API key of the connection.",
    no_connection: "Check that the connection exists and that the secrets backend is available.",
  }),
  partial: "Partial",
  partialResult: "Partial result: some of the files failed",
  batchTotals: (
    /** @type {string} */ completed,
    /** @type {string} */ total,
    /** @type {number} */ failed,
    /** @type {number} */ partial,
  ) =>
    `${completed} of ${total} completed${partial ? `, ${partial} of them in part` : ""}` +
    (failed ? `, ${failed} failed` : ""),
  notDone: (/** @type {string} */ count) => `, ${count} not done`,
  batch: "Batch",
  showMore: (/** @type {string} */ more, /** @type {string} */ left) => `Show ${more} more of ${left}`,
  showNext: (/** @type {string} */ more) => `Show ${more} more`,
  showAll: (/** @type {string} */ total) => `Show all ${total}`,
  searchIds: "Search SeeAny ids",
  noneFound: "No SeeAny task of this batch matches.",
  firstFilesOnly: "The result of a batch of this size has only the first file of each task.",
  shownOnly: (/** @type {string} */ shown, /** @type {string} */ total) => `Only ${shown} of ${total} are listed.`,
  batchEmpty: "The batch is too large for a table here. Its results stay available by their ids.",
  emptyTitle: "Nothing here yet",
  emptyFiltered: "No result matches these filters.",
  emptyHow: "Add this DAG and run it. Its result appears here when its task ends.",
  connections: "To the connections",
  loading: "Loading …",
  failedToLoad: "Could not load",
  signIn: "You are signed out. Reload the page to sign in again.",
  forbidden: "You may not read this.",
  notThere: "This task instance does not exist.",
  noResponse: "Airflow does not respond. Retrying …",
  busy: "Airflow is busy. Retrying …",
  httpError: (/** @type {number} */ status) => `Airflow responded with HTTP ${status}. See its log.`,
  search: "Search",
  searchFor: "SeeAny id, DAG or run",
  filters: "Filters",
  clearFilters: "Clear filters",
  sort: "Sort by",
  orders: { newest: "Newest", oldest: "Oldest", highest_cost: "Highest cost", lowest_cost: "Lowest cost" },
  run: "Run",
  copyAt: "Copy: ",
  shownOf: (/** @type {string} */ range, /** @type {string} */ total) => `${range} of ${total}`,
  waitingCount: (/** @type {string} */ count) => `${count} waiting`,
  pages: "Pages",
  pageNumber: (/** @type {string} */ number) => `Page ${number}`,
  previous: "Previous",
  next: "Next",
  exportCsv: "Export CSV",
  exportSums: "Export sums as CSV",
  copyAllUrls: "Copy all URLs",
  copyDag: "Copy DAG",
  spend: "Spend",
  spendIn: (/** @type {string} */ days) => `Spend, ${SPEND_RANGES[days]}: `,
  spendBefore: (/** @type {string} */ cost, /** @type {string} */ change) =>
    `Period before: ${cost}${change && ` (${change})`}`,
  nothingBefore: "No spend in the period before",
  spendOfEnds: "Includes waits that Airflow retries or has skipped",
  spendPerConnection: "Spend per connection",
  less: "Show less",
  emptyConnect: "Add a connection of type SeeAny, then this DAG. Its result appears here when its task ends.",
};

/** @type {typeof ENGLISH} */
const CHINESE = {
  title: "SeeAny 结果",
  intro: "您的 DAG 等待过的 SeeAny 任务的结果与花费，并非账户账单。",
  states: {
    waiting: "等待中",
    created: "已创建",
    downloading: "下载中",
    completed: "已完成",
    failed: "失败",
    timed_out: "超时",
    retrying: "等待重试",
    skipped: "已跳过",
  },
  dag: "DAG",
  connection: "连接",
  state: "状态",
  time: "时间",
  all: "全部",
  ranges: { 1: "最近 24 小时", 7: "最近 7 天", 30: "最近 30 天", 90: "最近 90 天", 366: "最近一年" },
  gallery: "画廊",
  table: "表格",
  view: "视图",
  spendPerDay: "每日花费",
  spendPerDag: "各 DAG 花费",
  andMore: (count) => `另有 ${count} 个`,
  results: "结果",
  task: "任务",
  result: "结果",
  cost: "花费",
  finishedAt: "完成时间",
  waitEndedAt: "等待结束时间",
  endedAt: "结束时间",
  createdAt: "创建时间",
  createdOnly: "由此任务创建，此任务不等待其完成。",
  lastUpdate: "最近更新",
  waitingFor: "已等待",
  givesUpAt: "截止时间",
  nextPoll: "下次轮询",
  inSeconds: (seconds) => (seconds < 1 ? "即将" : `${Math.ceil(seconds)} 秒后`),
  named: (name, value) => `${name}：${value}`,
  day: "日期",
  seeanyTask: "SeeAny 任务",
  duration: "时长",
  resolution: "分辨率",
  seconds: (seconds) => `${seconds} 秒`,
  video: "视频",
  files: (count) => `${count} 个文件`,
  filesOf: (count, total) => `${count} / ${total} 个文件`,
  copies: "副本",
  size: "大小",
  folder: "目录",
  downloadFailed: "下载失败",
  downloadFailures: (stored, failed) =>
    `${stored && `已存储 ${stored} 个文件，重试时保留。`}${failed && `失败 ${failed} 个。`}`,
  reasons: "原因",
  seeLog: "详情见日志。",
  image: (number) => `图片 ${number}`,
  copyUrl: (count) => (count === "1" ? "复制链接" : `复制全部 ${count} 个链接`),
  copyId: "复制 ID",
  downloadAll: "全部下载",
  downloadMany: (count) =>
    `将逐个保存 ${count} 个文件，浏览器可能会询问是否允许此页面保存多个文件。文件很多或很大时，建议复制链接，用下载工具下载。`,
  downloadFiles: (count) => `下载 ${count} 个文件`,
  downloadedOf: (count, total) => `正在下载第 ${count} 个，共 ${total} 个 …`,
  downloadEnded: (count, total) => `已下载 ${count} / ${total} 个文件。`,
  downloadCancelled: (count, total) => `已取消，此前已下载 ${count} / ${total} 个文件。`,
  cancel: "取消",
  onlyListed: (count, isRefused) =>
    (isRefused
      ? `此页面的内容安全策略（Content-Security-Policy 的 connect-src）不允许下载其中 ${count} 个文件，`
      : `有 ${count} 个文件所在的站点不允许从此页面下载，`) + "链接已存入 urls.txt，可用下载工具下载。",
  dagResults: "此 DAG 的结果",
  copied: "已复制",
  notCopied: "复制失败",
  openOriginal: "打开原文件",
  cannotEmbed: "无法在此显示。",
  refused: (directive) => `被此页面的内容安全策略（Content-Security-Policy 的 ${directive}）阻止。`,
  allowHost: (host, directive) => `如需在此显示，请让设置该策略的管理员将 ${host} 加入 ${directive}。`,
  progress: "进度",
  left: (seconds) => {
    if (seconds < 100) return `约剩 ${Math.round(seconds)} 秒`;
    return seconds < 6000 ? `约剩 ${Math.round(seconds / 60)} 分钟` : `约剩 ${Math.round(seconds / 3600)} 小时`;
  },
  noProgress: "暂无进度信息。",
  notStarted: "尚未开始等待。",
  notSeeAny: "此任务不等待 SeeAny。",
  noRecord: "等待已结束，但没有可显示的记录，详情见日志。",
  retryingNoRecord: "本次尝试已结束，但没有可显示的记录；Airflow 将重试，详情见日志。",
  notRun: "此任务没有运行，因此没有等待。",
  failedWith: "SeeAny 的错误",
  failedAs: { failed: "等待失败", timed_out: "等待超时" },
  willRetry: "Airflow 将重试此等待。",
  wasSkipped: "Airflow 已跳过此任务，未记为失败。",
  taskFailedMark: "任务失败",
  taskFailed: "结果已生成，但 Airflow 任务随后失败，原因见日志。",
  textOfLog: "日志原文",
  errors: {
    timed_out: ({ seconds, left, total }) =>
      left === undefined
        ? `等待 ${seconds} 秒后超时`
        : `等待 ${seconds} 秒后超时，${total} 个任务中有 ${left} 个未结束`,
    timed_out_unclear: ({ seconds }) => `等待 ${seconds} 秒后超时，但任务可能已结束`,
    batch_failed: ({ failed, total }) => `${total} 个 SeeAny 任务中有 ${failed} 个失败`,
    bad_config: () => "连接或参数无法使用",
    no_connection: () => "Airflow 找不到该连接",
    bad_id: () => "这不是有效的 SeeAny 任务 ID",
    not_ready: () => "SeeAny 任务尚未结束",
    request_failed: ({ http_status: status }) =>
      status === undefined ? "SeeAny 没有响应" : `请求失败（HTTP ${status}）`,
    request_refused: ({ http_status: status }) => `SeeAny 拒绝了请求（HTTP ${status}）`,
    key_refused: ({ http_status: status }) => `SeeAny 拒绝了 API Key（HTTP ${status}）`,
    not_found: () => "SeeAny 中没有此任务",
    invalid_response: () => "响应无效",
    not_created: () => "没有创建 SeeAny 任务",
    budget_exceeded: () => "预算不允许再创建 SeeAny 任务",
    budget_unknown: () => "无法得知已花费金额，因此没有创建 SeeAny 任务",
    submission_unknown: () => "无法确定 SeeAny 任务是否已创建",
    broke_off: () => "等待中断",
  },
  advice: {
    timed_out: "SeeAny 可能仍会完成该任务并计费。如需等待更久，请调大 timeout 并清除（clear）此任务。",
    timed_out_unclear: "可能已经计费：重新创建之前，请先在平台上查看。",
    batch_failed: "各任务的失败原因见下表。",
    key_refused: "请检查连接中的 API Key。",
    no_connection: "请检查该连接是否存在，以及 secrets backend 是否可用。",
  },
  partial: "部分成功",
  partialResult: "部分成功：部分文件生成失败",
  batchTotals: (completed, total, failed, partial) =>
    `已完成 ${completed} / ${total}${partial ? `（其中部分成功 ${partial}）` : ""}${failed ? `，失败 ${failed}` : ""}`,
  notDone: (count) => `，未结束 ${count}`,
  batch: "批次",
  showMore: (more, left) => `再显示 ${more} 个（剩余 ${left} 个）`,
  showNext: (more) => `再显示 ${more} 个`,
  showAll: (total) => `显示全部 ${total} 个`,
  searchIds: "搜索 SeeAny ID",
  noneFound: "此批次中没有符合条件的任务。",
  firstFilesOnly: "此批次较大，其结果中每个任务只有第一个文件。",
  shownOnly: (shown, total) => `仅列出 ${total} 个中的 ${shown} 个。`,
  batchEmpty: "批次过大，无法在此用表格显示；结果仍可按 ID 获取。",
  emptyTitle: "暂无内容",
  emptyFiltered: "没有符合筛选条件的结果。",
  emptyHow: "添加并运行如下 DAG；任务结束后，结果会显示在这里。",
  connections: "前往连接",
  loading: "加载中 …",
  failedToLoad: "无法加载",
  signIn: "您已退出登录，请刷新页面重新登录。",
  forbidden: "您没有查看权限。",
  notThere: "任务实例不存在。",
  noResponse: "Airflow 没有响应，正在重试 …",
  busy: "Airflow 正忙，正在重试 …",
  httpError: (status) => `Airflow 返回错误（HTTP ${status}），详情见其日志。`,
  search: "搜索",
  searchFor: "SeeAny ID、DAG 或运行",
  filters: "筛选",
  clearFilters: "清除筛选条件",
  sort: "排序",
  orders: { newest: "最新", oldest: "最早", highest_cost: "花费从高到低", lowest_cost: "花费从低到高" },
  run: "运行",
  copyAt: "副本：",
  shownOf: (range, total) => `第 ${range} 条，共 ${total} 条`,
  waitingCount: (count) => `${count} 个等待中`,
  pages: "分页",
  pageNumber: (number) => `第 ${number} 页`,
  previous: "上一页",
  next: "下一页",
  exportCsv: "导出 CSV",
  exportSums: "导出汇总 CSV",
  copyAllUrls: "复制全部链接",
  copyDag: "复制 DAG",
  spend: "花费",
  spendIn: (days) => `${CHINESE.ranges[days]}花费：`,
  spendBefore: (cost, change) => `上一周期：${cost}${change && `（${change}）`}`,
  nothingBefore: "上一周期无花费",
  spendOfEnds: "包括等待重试或已跳过的任务",
  spendPerConnection: "各连接花费",
  less: "收起",
  emptyConnect: "添加一个 SeeAny 类型的连接，再添加如下 DAG；任务结束后，结果会显示在这里。",
};

function language() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("i18nextLng");
  } catch {
    // No storage in this browser.
  }
  return [chosen, document.documentElement.lang, navigator.language].find(isLanguage) ?? "en";
}

/** @param {string | null} tag @returns {tag is string} whether Intl can format numbers and dates in it */
function isLanguage(tag) {
  try {
    return Boolean(tag) && Intl.getCanonicalLocales(tag ?? "").length > 0;
  } catch {
    return false;
  }
}

/** @param {() => void} changed */
function watchLanguage(changed) {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
  return () => observer.disconnect();
}

/**
 * The current language of Airflow's UI, and the texts in it.
 * @returns {{ words: typeof ENGLISH, language: string }}
 */
export function useWords() {
  const chosen = useSyncExternalStore(watchLanguage, language);
  return { words: chosen.toLowerCase().startsWith("zh") ? CHINESE : ENGLISH, language: chosen };
}
