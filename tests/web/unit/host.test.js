import { saveCompactly, travel } from "../../../web/shared/host.js";

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

test.each([["leaves a place for each widget", [1, undefined, "two", 3]], ["leaves none", [1, "two", 3]], ["writes fewer", [1, "two"]]])(
  "values keep their places where the host %s that is not saved", (_, written) => {
    const node = { widgets: [{}, { serialize: false }, {}, {}, { serialize: false }] };
    saveCompactly(node);
    const saved = { widgets_values: written };
    node.onSerialize(saved);
    expect(saved.widgets_values).toEqual([1, "two", 3].slice(0, written.filter((value) => value !== undefined).length));
  });
