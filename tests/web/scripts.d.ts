declare module "*/scripts/app.js" {
  export const app: import("./host").App;
}
