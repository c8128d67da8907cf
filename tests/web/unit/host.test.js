import { travel } from "../../../web/shared/host.js";

test("a step of undo begins when the one before has ended, even in an error", async () => {
  const heard = [];
  let end = () => {};
  const step = (which) => () => {
    heard.push(`${which} begins`);
    return new Promise((done, fail) => { end = (/** @type {boolean} */ fails) => (heard.push(`${which} ends`), fails ? fail(new Error()) : done()); });
  };
  const app = { extensionManager: { workflow: { activeWorkflow: { changeTracker: { undo: step("undo"), redo: step("redo") } } } } };
  const turn = () => new Promise((done) => setTimeout(done));
  for (const which of ["undo", "redo", "redo"]) travel(app, which);
  await turn();
  expect(heard).toEqual(["undo begins"]);
  end(true);
  await turn();
  expect(heard).toEqual(["undo begins", "undo ends", "redo begins"]);
  end();
  await turn();
  expect(heard.slice(3)).toEqual(["redo ends", "redo begins"]);
  end();
});
