"""The app's colours and measures: ink on warm paper, one teal accent, light and dark; plain values."""

__all__ = ["ACCENT", "FONTS", "MONOSPACED", "PAPER", "SETTINGS"]

# From the lightest to the darkest, as Gradio counts them: 50, 100, 200, … 900, 950.
ACCENT = (
    "#effaf8", "#d5f2ed", "#aee5dc", "#7dd2c6", "#48b5a8", "#25978b", "#177a71", "#14625b", "#134e4a",
    "#113f3c", "#0a2625",
)  # fmt: skip
PAPER = (
    "#faf9f7", "#f3f1ed", "#e7e3dc", "#d5cfc5", "#a59e92", "#776f64", "#57504a", "#423c38", "#292523",
    "#1b1817", "#110f0e",
)  # fmt: skip

# Fonts of the visitor's system: nothing is fetched from elsewhere.
FONTS = ("ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONOSPACED = ("ui-monospace", "Consolas", "monospace")

SETTINGS = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "*neutral_900",
    "body_text_color": "*neutral_800",
    "body_text_color_dark": "*neutral_100",
    "body_text_color_subdued": "*neutral_500",
    "body_text_color_subdued_dark": "*neutral_400",
    "background_fill_primary": "white",
    "background_fill_primary_dark": "*neutral_800",
    "background_fill_secondary": "*neutral_100",
    "background_fill_secondary_dark": "*neutral_900",
    "border_color_primary": "*neutral_200",
    "border_color_primary_dark": "*neutral_700",
    "block_background_fill": "white",
    "block_background_fill_dark": "*neutral_800",
    "block_border_width": "1px",
    "block_label_background_fill": "white",
    "block_label_background_fill_dark": "*neutral_800",
    "block_label_text_color": "*neutral_600",
    "block_label_text_color_dark": "*neutral_300",
    "block_title_text_color": "*neutral_600",
    "block_title_text_color_dark": "*neutral_300",
    "block_shadow": "0 1px 2px rgb(41 37 35 / 6%)",
    "block_shadow_dark": "none",
    "input_background_fill": "*neutral_50",
    "input_background_fill_dark": "*neutral_900",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_dark": "*primary_600",
    "button_primary_background_fill_hover_dark": "*primary_700",
    "button_primary_text_color": "white",
    "button_secondary_background_fill": "*neutral_100",
    "button_secondary_background_fill_dark": "*neutral_700",
}
