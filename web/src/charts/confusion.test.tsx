// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { SpeechProvider } from "../i18n";
import { ConfusionMatrix, confusionTwin } from "./confusion";

beforeAll(() => {
  window.matchMedia = vi.fn().mockReturnValue({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }) as unknown as typeof window.matchMedia;
  vi.stubGlobal("localStorage", { getItem: () => "en", setItem: () => undefined });
});
afterEach(cleanup);

const draw = (by: "counts" | "rows" | "columns", choose = () => undefined as void) =>
  render(
    <MantineProvider>
      <SpeechProvider>
        <ConfusionMatrix counts={[[8, 2], [0, 5]]} classes={["a", "<b>"]} by={by} chosen={{ truth: "a", predicted: "<b>" }} onChoose={choose} />
      </SpeechProvider>
    </MantineProvider>,
  );

test("a cell is a button that says its rows, and the keyboard presses it", () => {
  const choose = vi.fn();
  draw("counts", choose);
  const cell = screen.getByRole("button", { name: "2 rows of a that the model called <b>" });
  expect(cell.getAttribute("aria-pressed")).toBe("true");
  fireEvent.keyDown(cell, { key: "Enter" });
  fireEvent.keyDown(cell, { key: "Tab" });
  expect(choose.mock.calls).toEqual([["a", "<b>"]]);
});

test("shares of the class and of the answer", () => {
  draw("rows");
  expect(screen.getByRole("button", { name: /^8 rows/ }).textContent).toBe("80%");
  cleanup();
  draw("columns");
  expect(screen.getByRole("button", { name: /^8 rows/ }).textContent).toBe("100%");
});

test("the table has the sums", () =>
  expect(confusionTwin([[8, 2], [0, 5]], ["a", "b"], { truth: "is", sum: "all" }).rows).toEqual([["a", 8, 2, 10], ["b", 0, 5, 5], ["all", 8, 7, 15]]));
