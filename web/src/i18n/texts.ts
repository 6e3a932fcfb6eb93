/** A text, or one for a single thing and one for any other number {n} of them. */
export type TextOf = string | { one: string; other: string };

/** The same texts in another language: no key may lack, none may be new. */
export type Same<T> = { [K in keyof T]: T[K] extends string ? string : { one: string; other: string } };
