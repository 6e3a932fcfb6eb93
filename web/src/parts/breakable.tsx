import { Fragment } from "react";

/** A name of many words, such as optimizer_options.weight_decay, that may be broken between them. */
export function Breakable({ children }: { children: string }) {
  return children.split(/(?<=[._/])/).map((word, i) => (
    <Fragment key={i}>
      {i > 0 && <wbr />}
      {word}
    </Fragment>
  ));
}
