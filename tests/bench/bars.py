"""Draws ratios as horizontal bars in one SVG, without a library."""
from xml.sax.saxutils import escape

ROW = 22
LABEL = 330
UNIT = 160  # pixels of a ratio of 1
LARGEST = 4.0


def draw(title: str, rows: list[dict]) -> str:
    """`rows` have format, what and ratio. The line at 1 is the peer."""
    height = ROW * (len(rows) + 2)
    width = LABEL + int(UNIT * LARGEST) + 60
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="8" y="15" font-weight="bold">{escape(title)}: Caudal against llama.cpp (1 = equal)</text>']
    for i, row in enumerate(rows):
        y = ROW * (i + 1)
        length = UNIT * min(row["ratio"], LARGEST)
        colour = "#2a7d4f" if row["ratio"] >= 1 else "#b5532d"
        parts.append(f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(row["format"])}: {escape(row["what"])}</text>')
        parts.append(f'<rect x="{LABEL}" y="{y + 3}" width="{length:.0f}" height="{ROW - 6}" fill="{colour}"/>')
        parts.append(f'<text x="{LABEL + length + 4:.0f}" y="{y + 15}">{row["ratio"]:.2f}x</text>')
    parts.append(f'<line x1="{LABEL + UNIT}" y1="{ROW}" x2="{LABEL + UNIT}" y2="{height - ROW + 4}" stroke="black" stroke-dasharray="3,3"/>')
    parts.append("</svg>\n")
    return "\n".join(parts)
