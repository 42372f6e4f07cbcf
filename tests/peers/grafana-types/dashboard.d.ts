// What Grafana publishes of a dashboard and its panels. JSON has the values of its enumerations, not their names.
import type { Dashboard } from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";

type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer E)[]
      ? Plain<E>[]
      : T extends object
        ? { [K in keyof T]: Plain<T[K]> }
        : T;

export type Board = Plain<Dashboard>;
export interface Options {
  timeseries: Plain<timeseries.Options>;
  stat: Plain<stat.Options>;
  heatmap: Plain<heatmap.Options>;
}
export interface Custom {
  timeseries: Plain<timeseries.FieldConfig>;
  heatmap: Plain<heatmap.FieldConfig>;
}
