// No imports: the packages live in the user's cache, not beside this file (lab/web_tools.py).
export default {
  test: {
    globals: true,
    include: ["tests/web/unit/**/*.test.js"],
  },
  cacheDir: process.env.VITE_CACHE,
};
