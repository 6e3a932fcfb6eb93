// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { ApiError } from "../../api/client";
import type { Column } from "../../api/contract";
import { SpeechProvider } from "../../i18n";
import { Filter } from "./filter";

beforeAll(() => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined, addListener: () => undefined, removeListener: () => undefined }));
  vi.stubGlobal("ResizeObserver", class { observe() {} unobserve() {} disconnect() {} });
  Element.prototype.scrollIntoView = () => undefined;
});
afterEach(cleanup);

const columns: Column[] = [{ name: "params.optimizer", kind: "text", runs: 2, some: ["adam", "sgd"] }];

function show(where: string, error: Error | null = null) {
  const onChange = vi.fn();
  render(
    <MantineProvider env="test">
      <SpeechProvider>
        <Filter where={where} columns={columns} error={error} onChange={onChange} />
      </SpeechProvider>
    </MantineProvider>,
  );
  return { onChange, box: screen.getByLabelText<HTMLInputElement>("Condition on runs") };
}

function type(box: HTMLInputElement, text: string) {
  fireEvent.change(box, { target: { value: text } });
  box.setSelectionRange(text.length, text.length);
  fireEvent.select(box);
}

test("Tab takes what fits best, Enter applies", () => {
  const { onChange, box } = show("");
  fireEvent.click(box);
  type(box, "opti");
  fireEvent.keyDown(box, { key: "Tab" });
  expect(box.value).toBe("params.optimizer ");
  type(box, 'params.optimizer = "sg');
  fireEvent.keyDown(box, { key: "Tab" });
  expect(box.value).toBe('params.optimizer = "sgd" ');
  fireEvent.keyDown(box, { key: "Enter" });
  expect(onChange).toHaveBeenLastCalledWith('params.optimizer = "sgd"');
});

test("a fault stands at its place", () => {
  const fault = "condition: line 1, column 5: want a value: a = = <-- here: a value is a number";
  show("a = = 3", new ApiError(400, "Bad Request", fault, [{ message: fault, location: "body.where" }]));
  const alert = screen.getByRole("alert");
  expect(alert.querySelector("mark")?.textContent).toBe("=");
  expect(alert.textContent).toContain("want a value");
  expect(alert.textContent).not.toContain("<-- here");
});

test("another error is not the condition's", () => {
  show("a = 3", new ApiError(500, "Internal", "no", []));
  expect(screen.queryByRole("alert")).toBeNull();
});
