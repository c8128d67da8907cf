declare module "*/scripts/app.js" {
  export const app: import("../../web/shared/comfyui").App;
}
