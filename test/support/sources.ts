/**
 * Reads the project's own TypeScript as text, for tests of its structure.
 *
 * @module
 */
import { readdir, readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { packageFile } from '../../src/platform/package-files.ts';

export interface Source {
  /** Relative to the package's root, with slashes: `src/store/entries.ts`. */
  path: string;
  imports: Import[];
  /** The contents of its string and template literals. */
  literals: string[];
  /** The text without comments. */
  code: string;
}

export interface Import {
  /** The path of a file of this package, or the name of another package or a Node module. */
  target: string;
  /** True if the import does not exist at run time. */
  typeOnly: boolean;
  /** True for `import(…)`. */
  isDynamic: boolean;
}

/** Reads every TypeScript file in these folders of the package. */
export async function readSources(folders: readonly string[]): Promise<Source[]> {
  const files = await Promise.all(
    folders.map(async (folder) => {
      const found = await readdir(packageFile(`${folder}/`), { recursive: true });
      return found.map((file) => posix.join(folder, file.replaceAll('\\', '/')));
    }),
  );
  const paths = files.flat().filter((path) => path.endsWith('.ts'));
  return Promise.all(paths.map(async (path) => readSource(path, await readFile(packageFile(path), 'utf8'))));
}

/** Matches comments, regular expressions and literals, so that a quote within one does not start another. */
const TOKEN =
  /(?<comment>\/\*[\s\S]*?\*\/|\/\/[^\n]*)|(?<regex>(?<=[(,=:[!&|?{};]\s*|return\s)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*)|(?<literal>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)/g;
const IMPORT =
  /(?:import|export)\s+(?<type>type\s)?(?:[\w*$\s{},]*?\sfrom\s+)?'(?<from>[^']+)'|import\(\s*'(?<dynamic>[^']+)'\s*\)/g;

export function readSource(path: string, text: string): Source {
  const literals: string[] = [];
  const code = text.replace(TOKEN, (token, ...rest) => {
    const { comment, literal } = rest.at(-1) as Record<string, string | undefined>;
    if (literal) literals.push(literal.slice(1, -1));
    return comment ? '' : token;
  });
  const imports = [...code.matchAll(IMPORT)].map(({ groups }) => {
    const target = (groups!['from'] ?? groups!['dynamic'])!;
    return {
      target: target.startsWith('.') ? posix.join(posix.dirname(path), target) : target,
      typeOnly: groups!['type'] !== undefined,
      isDynamic: groups!['dynamic'] !== undefined,
    };
  });
  return { path, imports, literals, code };
}
