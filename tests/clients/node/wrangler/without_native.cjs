// Lets wrangler run without two native packages that uploading certificates does not need: the Workers runtime (large)
// and an image library. They are not installed (npm ci --omit=optional --ignore-scripts).
const Module = require('node:module');

const load = Module._load;
Module._load = function (request, ...rest) {
  return ['workerd', 'sharp'].includes(request) ? {} : load.call(this, request, ...rest);
};
