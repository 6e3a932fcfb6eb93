// Texts of the page of runs side by side.
export const compare = {
};
