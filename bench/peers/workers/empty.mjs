// A Worker that does nothing: what workerd alone costs.
export default {
  fetch: () => new Response("nothing"),
};
