import { createContext, useContext, useMemo, useState, type ReactNode } from "react";
import { en, type Key } from "./en";
import { es } from "./es";

export type Language = "en" | "es";
export type { Key };

export type Translate = (key: Key, values?: Record<string, string | number>) => string;

interface Speech {
  language: Language;
  setLanguage: (language: Language) => void;
  t: Translate;
}

const texts = { en, es };

/** Returns the function that finds and fills texts of a language. */
export function translator(language: Language): Translate {
  const plural = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(language);
  return (key, values = {}) => {
    const found: string | { one: string; other: string } = texts[language][key];
    const text =
      typeof found === "string" ? found : plural.select(Number(values.n)) === "one" ? found.one : found.other;
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const v = values[name];
      return v === undefined ? whole : typeof v === "number" ? number.format(v) : v;
    });
  };
}

const stored = "solera.language";

function preferred(): Language {
  const chosen = localStorage.getItem(stored);
  if (chosen === "en" || chosen === "es") return chosen;
  return navigator.languages.some((l) => l.startsWith("es")) && !navigator.languages[0]?.startsWith("en") ? "es" : "en";
}

const SpeechContext = createContext<Speech | null>(null);

export function SpeechProvider({ children }: { children: ReactNode }) {
  const [language, choose] = useState<Language>(preferred);
  const speech = useMemo<Speech>(() => {
    document.documentElement.lang = language;
    return {
      language,
      setLanguage: (l) => {
        localStorage.setItem(stored, l);
        choose(l);
      },
      t: translator(language),
    };
  }, [language]);
  return <SpeechContext.Provider value={speech}>{children}</SpeechContext.Provider>;
}

export function useSpeech(): Speech {
  const speech = useContext(SpeechContext);
  if (!speech) throw new Error("useSpeech outside of SpeechProvider");
  return speech;
}

export const useT = (): Translate => useSpeech().t;
