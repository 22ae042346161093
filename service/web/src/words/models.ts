// Names of models. The service has them too, and more; these need no request.

import type { Job } from "$/api/types";

const MODELS: Record<string, string> = {
  auto: "Model for the data",
  logistic_regression: "Logistic regression",
  boosted_trees: "Boosted trees",
  mlp: "MLP",
  tabular_resnet: "Tabular ResNet",
  tabm: "TabM",
  ft_transformer: "FT-Transformer",
  small_cnn: "Small CNN",
  resnet20: "ResNet-20",
  resnet18: "ResNet-18",
  pretrained_image: "Pretrained image network",
  linear_probe: "Linear probe",
  mlp_probe: "MLP probe",
  text_cnn: "Text CNN",
  text_transformer: "Text transformer",
  pretrained_text: "Pretrained text network",
  exported: "Your network",
  safetensors: "Your weights",
  trace: "Recorded training",
  predictions: "Your predictions",
};

const modelName = (name: string): string => MODELS[name] ?? name.replaceAll("_", " ");

/** The model that a job trains, and whether trees answer beside it. */
export const trainedModel = ({ name, params }: Job["spec"]["model"]): string =>
  modelName(name) + (params?.["trees"] === true ? " with trees" : "");

/** The model of a job; before a worker has decided, also what it trains where no pretrained network is installed. */
export function modelOf({ model, fallback }: Pick<Job["spec"], "model" | "fallback">): string {
  const open = fallback && fallback.used === null;
  return trainedModel(model) + (open ? `, or ${modelName(fallback.model.name)} where none is installed` : "");
}
