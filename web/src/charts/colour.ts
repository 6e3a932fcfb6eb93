// Colours of lines. The first eight are those of Okabe and Ito, which people
// with any common colour blindness can tell apart, darkened or lightened where
// the ground asks for it; beyond eight, dashes tell lines apart as well.

const onLight = ["#0072b2", "#b35400", "#00795a", "#a8327d", "#7a6a00", "#2b7bba", "#8a3b12", "#444444"];
const onDark = ["#56b4e9", "#e69f00", "#2bc79b", "#e58bbf", "#f0e442", "#8cc7f2", "#ff8f5a", "#c8c8c8"];
const dashes: number[][] = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

export interface Pen {
  colour: string;
  dash: number[];
}

/** The pen of the i-th line. */
export function pen(i: number, dark: boolean): Pen {
  const palette = dark ? onDark : onLight;
  return { colour: palette[i % palette.length]!, dash: dashes[Math.floor(i / palette.length) % dashes.length]! };
}

/** Gives each name a number that stays while others come and go: the first free one. */
export class Places {
  private readonly taken = new Map<string, number>();

  of(name: string): number {
    const known = this.taken.get(name);
    if (known !== undefined) return known;
    const used = new Set(this.taken.values());
    let i = 0;
    while (used.has(i)) i++;
    this.taken.set(name, i);
    return i;
  }

  keep(names: Iterable<string>): void {
    const wanted = new Set(names);
    for (const name of [...this.taken.keys()]) if (!wanted.has(name)) this.taken.delete(name);
  }
}
